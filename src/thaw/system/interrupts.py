"""SIGINT and SIGTERM while a process starts: one line and exit code 130, from the first moment.

Imports take seconds, and an interrupt within them would print a traceback of whatever is being
imported. Nothing has to be cleaned up before a verb or a stage begins, so that the process ends at
once. This module imports only what Python has loaded already, or what takes no time.
"""

from __future__ import annotations

import os
import signal
import sys

FIRST_MODULE = "thaw.system.interrupts"  # `python -m` of this runs another module
INTERRUPTED = 130  # exit code
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LINE = b"interrupted: run the same command again\n"


def end_at_signals() -> None:
    """Make SIGINT and SIGTERM end this process with a line, until other handlers are set.

    A signal that the parent ignores stays ignored, as for background jobs of a shell. Signals that
    :func:`hold_signals` kept back arrive now.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def hold_signals() -> None:
    """Keep SIGINT and SIGTERM back while this process becomes another Python program.

    Python itself would print a traceback for a signal that arrives before the first module runs.
    The program calls :func:`end_at_signals` first.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def end_silently_at_signals(code: int) -> None:
    """Make SIGINT and SIGTERM end this process with ``code``: it ends already, and has said why."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(code))


def _end(signum: int, frame: object) -> None:  # noqa: ARG001
    # Neither an exception nor a flush: the import that is interrupted might catch the one.
    os.write(2, _LINE)
    os._exit(INTERRUPTED)


def main() -> None:
    """Run the module that the first argument names, with the others as its arguments."""
    end_at_signals()
    import runpy  # after the line above: each import is a moment that a signal may hit

    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
