"""Run a server until it ends or a signal arrives, as ``python -m thaw.system.server_runner ...``.

Servers of others print a traceback for a signal that arrives while they import, or end without the
processes that they have started. The server therefore has a session of its own, which ctrl-C in the
terminal does not reach; this process ends all of it, and prints nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

from thaw.system.interrupts import INTERRUPTED, SIGNALS, TERMINATED, release_signals
from thaw.system.processes import die_with_parent

MODULE = "thaw.system.server_runner"
_STOP_TIMEOUT = 10.0  # seconds until a server that does not end is killed
_CHECK = 0.05  # seconds between two checks that all its processes have ended


def main(command: list[str]) -> int:
    """Run ``command``; return its exit code, or that of the signal that ended it."""
    ignored = {number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN}
    signals = set(SIGNALS) - ignored
    # Blocked signals wait for sigwait: none can interrupt this program at another place.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*signals, signal.SIGCHLD})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ignored)
    server = subprocess.Popen(command, start_new_session=True, preexec_fn=_prepare)
    while server.poll() is None:
        number = signal.sigwait({*signals, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            _end(server, signals)
            return TERMINATED if number == signal.SIGTERM else INTERRUPTED
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _prepare() -> None:
    """Let signals reach the server, which ends with this process even if that is killed."""
    die_with_parent({}, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    release_signals()


def _end(server: subprocess.Popen[bytes], signals: set[signal.Signals]) -> None:
    """End all processes of the server's session; a second signal kills them."""
    send = partial(os.killpg, server.pid)
    seconds = 0.0
    with suppress(ProcessLookupError):  # no process is left
        send(signal.SIGTERM)
        while seconds < _STOP_TIMEOUT and not signals & signal.sigpending():
            time.sleep(_CHECK)
            server.poll()  # an ended process counts as one until it has been waited for
            send(0)
            seconds += _CHECK
        send(signal.SIGKILL)
    server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
