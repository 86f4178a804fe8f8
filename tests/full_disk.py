"""Run a command on a small file system, first when it is full, then when it has space."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

DISK = Path("disk")
_SIZE = 24 << 20


def main() -> None:
    """Mount the file system, run the command of the arguments, and print the outcome."""
    verb, free = sys.argv[1], int(sys.argv[2])
    DISK.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "none", DISK], check=True)
    os.chdir(DISK)
    run = _project(verb)
    filler = Path("fill")
    with filler.open("wb") as stream:
        status = os.statvfs(".")
        space = status.f_bavail * status.f_frsize - free
        os.posix_fallocate(stream.fileno(), 0, space)
    print(_outcome(run))
    filler.unlink()
    print(_outcome(run))
    left = [str(path) for path in Path().rglob("*.part")]
    print(f"left: {left}")


def _init() -> None:
    from thaw.cli.main import main as cli

    sys.argv = ["thaw", "init", "new", "--images", "images"]
    cli()


def _project(stage: str) -> Callable[[], None]:
    """Make what is needed in the working directory; return the stage, or `thaw init`."""
    from tests import tiny
    from thaw.config.editing import write_values
    from thaw.system.processes import run_main

    if stage == "warmup_head":
        from tests.advice import project
        from thaw.stages.warmup_head import main as train

        with contextlib.redirect_stderr(io.StringIO()):
            project.make_new(Path.cwd())
        return lambda: run_main(train)
    tiny.images(Path("images"), size=32)
    if stage == "init":
        return _init
    from thaw.stages.prepare import main as prepare

    shutil.copy(ROOT / "params.yaml", ".")
    write_values({"data.source": "folder", "data.path": "images"})
    return lambda: run_main(prepare)


def _outcome(run: Callable[[], None]) -> str:
    """Return the exit code, the number of errors and the last line of ``run`` in a new process."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        try:
            run()
        except SystemExit as end:
            os._exit(int(end.code or 0))
        except BaseException:
            traceback.print_exc()
        os._exit(99)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as stream:
        lines = stream.read().splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    errors = [line for line in lines if line.startswith("error: ")]
    return f"{code} {len(errors)} {(errors or lines or [''])[-1]}"


if __name__ == "__main__":
    main()
