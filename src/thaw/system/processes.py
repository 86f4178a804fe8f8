"""How a stage's processes end: never as orphans, and with a chance to say so; and their cores."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from thaw.errors import EXIT_CODE, ThawError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LAUNCHER = "THAW_LAUNCHER"  # the process that became the launcher of a stage
STARTER = "THAW_STARTER"  # the process that started it: dvc.yaml says so
_PR_SET_PDEATHSIG = 1


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # fewer than cpu_count in a container
    return os.cpu_count() or 1


def die_with_parent(environment: Mapping[str, str] = os.environ) -> None:
    """Have the kernel kill this process when its parent dies.

    A killed DVC or launcher would leave the trainer running, and the next ``dvc repro`` would
    start a second one beside it. The setting survives ``exec`` but not ``fork``, so every
    process says it for itself. Only Linux has it; elsewhere the stage's lock file
    keeps a second trainer away.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    launcher = environment.get(LAUNCHER)
    if launcher is not None and int(launcher) not in {os.getpid(), os.getppid()}:
        os.kill(os.getpid(), signal.SIGKILL)  # it died before the kernel was told


def die_with_starter() -> None:
    """The same for the process that ``dvc.yaml`` starts; a DVC killed before this is noticed."""
    die_with_parent({})
    starter = os.environ.pop(STARTER, "")
    # Empty where the shell has no $PPID.
    if starter.isdecimal() and int(starter) != os.getppid():
        os.kill(os.getpid(), signal.SIGKILL)


def run_main(main: Callable[[], None]) -> NoReturn:
    """Run a stage or a verb: a user's mistake is a line and exit code 2, never a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        main()
    except ThawError as error:
        # One write: several processes may report the same error at the same time.
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_CODE)
    except KeyboardInterrupt:
        print("interrupted: the same command continues from the last checkpoint", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    sys.exit(0)


def _interrupt(signum: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt
