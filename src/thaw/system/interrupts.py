"""End a process that still imports at a signal, with one line and an exit code.

They are SIGINT, SIGTERM, that of a terminal that closes, and that of a limit of processor time.

Imports take seconds, and an interrupt within them would print a traceback of whatever is being
imported. Nothing has to be cleaned up before a verb or a stage begins, so that the process ends at
once. This module imports only what Python has loaded already, or what takes no time.
"""

from __future__ import annotations

import os
import signal
import sys

from thaw.system.garbage_collection import collect_seldom

FIRST_MODULE = "thaw.system.interrupts"  # `python -m` of this runs another module
INTERRUPTED = 130  # exit code
TERMINATED = 143  # exit code of a verb at SIGTERM, which service managers expect
# Windows has the first two alone.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_AGAIN = "run the same command again"
CONTINUES = "the same command continues from the last checkpoint"


def line_and_exit_code(signum: int, remedy: str, *, is_verb: bool) -> tuple[str, int]:
    """Return the line and the exit code with which ``signum`` ends a verb or a stage.

    A verb may be a service, such as `thaw serve`: its manager sends SIGTERM and knows what it did.
    """
    if is_verb and signum == signal.SIGTERM:
        return f"stopped by SIGTERM: {remedy}\n", TERMINATED
    return f"interrupted: {remedy}\n", INTERRUPTED


def end_at_signals(*, is_verb: bool = False) -> None:
    """Make :data:`SIGNALS` end this process with a line, until other handlers are set.

    A signal that the parent ignores stays ignored, as for background jobs of a shell. Signals that
    :func:`become` kept back arrive now.
    """

    def end(signum: int, frame: object) -> None:  # noqa: ARG001
        # No exception, which the interrupted import might catch.
        line, code = line_and_exit_code(signum, _AGAIN, is_verb=is_verb)
        if is_verb or prints_message_at(signum):
            os.write(2, line.encode())
        os._exit(code)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    release_signals()


def become(command: list[str], environment: dict[str, str]) -> None:
    """Become the Python program ``command``; :data:`SIGNALS` are kept back while it starts.

    Python itself would print a traceback for a signal that arrives before the first module runs.
    The program calls :func:`end_at_signals` first, or :func:`release_signals`. If it cannot be
    started, the signals arrive here again.

    Raises:
        OSError: the program cannot be started.
    """
    has_mask = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if has_mask else set()
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606
    finally:
        if has_mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prints_message_at(signum: int) -> bool:
    """Return whether this process of a stage prints that ``signum`` ended it: one of them does.

    The launcher of several processes sends them SIGTERM when one has failed, which has printed
    the error. It prints the line itself when it was sent SIGTERM.
    """
    if signum == signal.SIGTERM and os.environ.get("WORLD_SIZE", "1") != "1":
        return False
    return os.environ.get("RANK", "0") == "0"


def release_signals() -> None:
    """Let the signals arrive that the program before this one kept back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def end_silently_at_signals(code: int) -> None:
    """Make :data:`SIGNALS` end this process with ``code``: it ends already, and has said why."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(code))


def main() -> None:
    """Run the module that the first argument names, with the others as its arguments.

    Where a limit of this process is the cause, nothing is raised: a message is printed, and the
    exit code is 2.

    Raises:
        ImportError: the module cannot be imported.
        MemoryError: the memory is exhausted.
        OSError: a file cannot be read.
    """
    end_at_signals()
    import runpy  # after the line above: each import is a moment that a signal may hit

    collect_seldom()
    module = sys.argv.pop(1)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except (ImportError, MemoryError, OSError) as error:  # of its imports, before its main()
        from thaw.system.storage_errors import uncaught_failure

        if (message := uncaught_failure(error)) is None:
            raise
        sys.stderr.write(f"error: {message}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
