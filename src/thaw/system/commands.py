"""Run a command in another folder, and show its output while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ERROR = "error: "
_LAST_LINES = 20


@dataclass(frozen=True)
class Finished:
    """The exit code of a command, and its output (standard output and errors together)."""

    code: int
    output: str


def run_module(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    *,
    show: bool = True,
    accepted: Sequence[int] = (0,),
) -> Finished:
    """Run ``python -m module`` in ``folder`` with this Python, and wait for its end.

    Each line of the output is printed as it arrives, which also works in notebooks. An interrupt
    stops the command, and waits until it has ended. Python's ``-P`` keeps files of ``folder`` from
    shadowing modules.

    Raises:
        ThawError: the exit code is not in ``accepted``; the message is what the command printed.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # an interrupt of this program reaches it through the lines below
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if show:
                print(line, end="", flush=True)  # noqa: T201
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    finished = Finished(process.wait(), "".join(lines))
    if finished.code not in accepted:
        raise ThawError(failure_reason(finished.output))
    return finished


def failure_reason(output: str) -> str:
    """Return the reason that a failed command printed, or the end of its output.

    Verbs of thaw print it after ``error: ``. DVC prints lines of its own after that, also as
    ``ERROR: ``.
    """
    lines = output.splitlines()
    starts = [place for place, line in enumerate(lines) if line.lower().startswith(_ERROR)]
    if not starts:
        return "\n".join(lines[-_LAST_LINES:])
    return "\n".join(lines[starts[0] :])[len(_ERROR) :]


def _environment() -> dict[str, str]:
    """Return this environment, with the commands of this Python first on the path."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")])}
