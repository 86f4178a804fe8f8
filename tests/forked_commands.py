"""Commands `thaw` and `dvc` that run in forks of one process: each would import for seconds.

A folder of two small programs goes first into PATH, so that shells and DVC find them as well. Each
sends its arguments, working directory, variables and streams to the process that forks. What runs
in the fork is what the installed command runs; only the start of Python is left out.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING

import thaw
from tests import forked_dvc
from tests.forks import _LIBRARIES, _end_with, _with_arguments
from tests.project import ROOT
from thaw.system import launching
from thaw.system.process_group import process_group
from thaw.system.processes import STARTER, die_with_parent, run_main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.system.process_group import ProcessSettings

_CLIENT = """#!{python} -ISE
import json, os, socket, sys
about = [{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"0"], [0, 1, 2])
    server.sendall(json.dumps(about).encode() + b"\\n")
    code = server.makefile().readline()
sys.exit(int(code or 1))
"""
_STREAMS = 3
# What commands import in the middle of their work.
_MORE = ("alembic.command", "git", "mlflow.store.tracking.sqlalchemy_store", "torch._dynamo")


@contextmanager
def forked_commands(folder: Path) -> Iterator[Path]:
    """Yield a folder for PATH with the commands; the process that forks ends with the context."""
    address = folder / "socket"
    for name in ("thaw", "dvc"):
        program = folder / name
        program.write_text(_CLIENT.format(python=sys.executable, name=name, address=str(address)))
        program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        command = [sys.executable, "-m", __name__, str(listening.fileno())]
        server = subprocess.Popen(
            command,
            pass_fds=[listening.fileno()],
            cwd=ROOT,
            env={**os.environ, **launching.ENVIRONMENT},
            preexec_fn=die_with_parent,
        )
    try:
        yield folder
    finally:
        server.terminate()
        server.wait()


def _serve(listening: socket.socket) -> None:
    ours = [each.name for each in walk_packages(thaw.__path__, "thaw.")]
    for name in (*_LIBRARIES, *_MORE, *forked_dvc._MODULES, "dvc.cli", *ours):
        if not name.endswith("__main__"):
            import_module(name)
    gc.freeze()  # a collection in a fork would copy the memory that it shares
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            _answer(connection)
        connection.close()


def _reap(*_: object) -> None:
    """Wait for children that have ended: their processor time then counts as that of the test."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket) -> None:
    """Run one command in a fork and send its exit code."""
    code = 1
    try:
        _, streams, _, _ = socket.recv_fds(connection, 1, _STREAMS)
        name, arguments, folder, variables = json.loads(connection.makefile().readline())
        pid = os.fork()
        if pid == 0:
            connection.close()
            _become(streams, folder, variables)
            _end_with(lambda: _with_arguments([name, *arguments], _PROGRAMS[name]))
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        connection.sendall(f"{code}\n".encode())
    finally:
        os._exit(0)


def _become(streams: list[int], folder: str, variables: dict[str, str]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**variables, **launching.ENVIRONMENT})
    os.environ.pop(STARTER, None)  # the starter is no parent of this process


def _run_thaw() -> None:
    from thaw.cli.app import run

    launching.replace_process = _run_stage
    run()


def _run_stage(stage: str, settings: ProcessSettings) -> None:
    """Run a stage in this process, which the command would replace by one process or several."""
    assert process_group(settings).processes == 1
    run_main(import_module(f"thaw.stages.{stage}").main)


def _run_dvc() -> None:
    from dvc.cli import main

    forked_dvc.print_to_these_streams()
    sys.exit(main(sys.argv[1:]))


_PROGRAMS = {"thaw": _run_thaw, "dvc": _run_dvc}


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as socket_of_commands:
        _serve(socket_of_commands)
