"""Processes of a stage: number of cores, end with the parent process, exit codes."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from thaw.errors import EXIT_CODE, ThawError, printable
from thaw.system.garbage_collection import collect_as_usual
from thaw.system.interrupts import (
    CONTINUES,
    INTERRUPTED,
    SIGNALS,
    end_silently_at_signals,
    line_and_exit_code,
    prints_message_at,
)
from thaw.system.lost_connections import lost_connection
from thaw.system.storage_errors import uncaught_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

LAUNCHER = "THAW_LAUNCHER"  # variable: pid of the launcher of a stage
STARTER = "THAW_STARTER"  # variable: pid of the process that started the stage, set by dvc.yaml
_PR_SET_PDEATHSIG = 1
_LONGEST_LINE = 2000  # characters of a message
# Python functions below which the code in C++ of an extension module runs while it is imported.
_INITIALIZING = {"ExtensionFileLoader.create_module", "ExtensionFileLoader.exec_module"}
_SEND_AGAIN = 0.05  # seconds until a signal that came too early is sent again
_last_signal: list[int] = [signal.SIGINT]  # which Typer hides


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # fewer than cpu_count in a container
    return os.cpu_count() or 1


def die_with_parent(
    environment: Mapping[str, str] = os.environ, number: signal.Signals = signal.SIGKILL
) -> None:
    """Make the kernel send ``number`` to this process when its parent ends.

    Otherwise a killed DVC or launcher would leave the training process running, and the next
    ``dvc repro`` would start a second one. The setting survives ``exec`` but not ``fork``, so every
    process calls this function. It exists on Linux only; elsewhere the lock file of the stage
    prevents a second training process.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    launcher = environment.get(LAUNCHER)
    if launcher is not None and int(launcher) not in {os.getpid(), os.getppid()}:
        os.kill(os.getpid(), signal.SIGKILL)  # the launcher ended before the call


def die_with_starter() -> None:
    """Do the same in the process that ``dvc.yaml`` starts.

    The process ends at once if DVC was killed before this call.
    """
    die_with_parent({})
    starter = os.environ.pop(STARTER, "")
    # Empty where the shell has no $PPID.
    if starter.isdecimal() and int(starter) != os.getppid():
        os.kill(os.getpid(), signal.SIGKILL)


def run_main(
    main: Callable[[], None], *, after_interrupt: str = CONTINUES, is_verb: bool = False
) -> NoReturn:
    """Run a stage or a verb and exit.

    A ThawError is printed as a line and gives exit code 2, and so does an error of a full or broken
    disk or of a lost process, wherever it comes from. An interrupt gives 130, of a verb by
    SIGTERM 143, and its line says what to do with ``after_interrupt``.

    Raises:
        SystemExit: always, unless an unexpected error is raised.
    """
    atexit.register(_end_undisturbed)
    _escape_unknown_characters()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    collect_as_usual()
    sys.unraisablehook = _send_dropped_interrupt_again
    try:
        _run(main)
    except KeyboardInterrupt:  # also while an error is examined
        line, code = line_and_exit_code(_last_signal[0], after_interrupt, is_verb=is_verb)
        end_silently_at_signals(code)
        if is_verb or prints_message_at(_last_signal[0]):
            sys.stderr.write(line)
        sys.exit(code)
    sys.exit(0)


def interrupt_once() -> None:
    """Let the first signal interrupt this process; a second one would disturb its clean-up.

    :func:`run_main` has been called before.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, _interrupt_once)


def _end_undisturbed() -> None:
    """Let Python end this process in little time and with the exit code that it has.

    Python would look through all objects for cycles, which takes seconds with torch's modules. It
    also resets handlers, so that a signal in its last moments would replace the exit code; only an
    ignored signal stays ignored.
    """
    gc.freeze()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _escape_unknown_characters() -> None:
    """Write characters that the locale cannot encode as escapes, as Python does for messages.

    Without this, a table with "±" or the name of a class would end a verb with an error.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors in {"strict", "surrogateescape"}:
        # Of a closed output, the first line that is printed fails.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.reconfigure(errors="backslashreplace")


def _run(main: Callable[[], None]) -> None:
    try:
        main()
        sys.stdout.flush()
    except SystemExit as ended:  # Typer hides the interrupt of a verb
        if ended.code == INTERRUPTED:
            raise KeyboardInterrupt from ended
        raise
    except Exception as error:
        message = str(error) if isinstance(error, ThawError) else _known_failure(error)
        if message is None:
            raise
        # The launcher ends the processes of a stage that has failed.
        end_silently_at_signals(EXIT_CODE)
        # One write: several processes may report the same error at the same time.
        sys.stderr.write(f"error: {_without_long_lines(printable(message))}\n")
        sys.exit(EXIT_CODE)


def _known_failure(error: Exception) -> str | None:
    return uncaught_failure(error) or lost_connection(error)


def _without_long_lines(text: str) -> str:
    """Return ``text`` without the middle of long lines: a message may quote a user's value."""
    half = _LONGEST_LINE // 2
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"
        for line in text.split("\n")
    )


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, unless an extension module is being initialised.

    Modules in C++, torch's among them, abort the process if an exception reaches them at that time:
    the signal is sent again a little later.

    Raises:
        KeyboardInterrupt: no extension module is being initialised.
    """
    if not _is_initializing(frame):
        _last_signal[0] = signum
        raise KeyboardInterrupt(signum)
    _send_again(signum)


def _interrupt_once(signum: int, frame: FrameType | None) -> None:
    if not _is_initializing(frame):
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    _interrupt(signum, frame)


def _send_dropped_interrupt_again(dropped: sys.UnraisableHookArgs) -> None:
    """Replace the report of an exception that Python drops, as in ``__del__`` and weak references.

    An interrupt that arrives there would have no effect but a traceback on the screen.
    """
    if not isinstance(dropped.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    (signum,) = dropped.exc_value.args or (signal.SIGINT,)
    if signal.getsignal(signum) is signal.SIG_IGN:  # since the interrupt that was dropped
        signal.signal(signum, _interrupt_once)
    _send_again(signum)


def _send_again(signum: int) -> None:
    again = threading.Timer(_SEND_AGAIN, os.kill, [os.getpid(), signum])
    again.daemon = True
    again.start()


def _is_initializing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_qualname in _INITIALIZING:
            return True
        frame = frame.f_back
    return False
