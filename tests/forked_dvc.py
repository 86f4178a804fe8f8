"""Run the command `dvc` in a fork of this process: a new process would import it for a second."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from typing import IO, NoReturn

_MODULES = (
    "dvc.cli.parser",
    "dvc.repo.datasets",
    "dvc.repo.index",
    "dvc.stage.loader",
    "dvc_data.index",
    "flufl.lock",
    "scmrepo.git",
)


def run_dvc(*arguments: str) -> str:
    """Return what `dvc` prints on stdout in the working directory; it must succeed."""
    done = completed_dvc(*arguments)
    assert done.returncode == 0, f"dvc {' '.join(arguments)}: {done}"
    return done.stdout


def completed_dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dvc` in the working directory; return its exit code and what it prints."""
    for name in _MODULES:
        import_module(name)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _end_as_dvc(arguments, out.fileno(), err.fileno())
        _, status = os.waitpid(pid, 0)
        printed, errors = (_content(file) for file in (out, err))
    code = os.waitstatus_to_exitcode(status)
    return subprocess.CompletedProcess(arguments, code, printed, errors)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _end_as_dvc(arguments: tuple[str, ...], out: int, err: int) -> NoReturn:
    """Run the command with its output in the files ``out`` and ``err``, and end this child."""
    from dvc.cli import main

    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        print_to_these_streams()
        code = main(list(arguments))
        sys.stdout.flush()
    finally:
        os._exit(code)


def print_to_these_streams() -> None:
    """Let DVC print to what ``sys.stdout`` and ``sys.stderr`` are now."""
    import_module("colorama").init()  # DVC returns to the streams that colorama was given
    for handler in logging.getLogger("dvc").handlers:
        if isinstance(handler, logging.StreamHandler):
            is_error = handler.level >= logging.WARNING
            handler.setStream(sys.stderr if is_error else sys.stdout)
