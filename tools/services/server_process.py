"""A server in its own process group, stopped together with its children."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from thaw.system.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
_START_TIMEOUT = 120  # seconds; a server imports its libraries first, on a machine that may be busy
_STOP_TIMEOUT = 20


class ServerProcess:
    """A running server; its output is in ``log``.

    ``stop_signal`` is the one that the server takes as the request to stop now. A second process
    kills the server and its children when the process that started them is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start ``command``, as ``user`` if one is given."""
        self.log = log
        self._stop_signal = stop_signal
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                list(command),
                cwd=log.parent,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=die_with_parent,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        self._watcher = _kill_afterwards(self._process.pid)

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until ``is_ready()`` returns true.

        Raises:
            RuntimeError: the server ended, or is not ready in time; with the end of its output.
        """
        deadline = time.monotonic() + _START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            if is_ready():
                return
            time.sleep(0.1)
        ended = (
            f"ended with exit code {self._process.poll()}" if self._process.poll() else "is slow"
        )
        self.stop()
        raise RuntimeError(f"{self._process.args!r} {ended}:\n{self._end_of_output()}")

    def stop(self) -> None:
        """Ask the server to stop; kill it and its children if it does not."""
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """Kill the server and its children, as a crash of the machine would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._watcher.stdin is not None
        self._watcher.kill()
        self._watcher.stdin.close()
        self._watcher.wait()

    def _end_of_output(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-30:])


def _kill_afterwards(group: int) -> subprocess.Popen[bytes]:
    """Start a process that kills the process group ``group`` when this process has ended.

    It waits for the end of a pipe that only this process holds open. The signal that Linux sends
    when a parent ends (`PR_SET_PDEATHSIG`) reaches the server, but not the server's children.
    """
    return subprocess.Popen(
        ["sh", "-c", f"cat > /dev/null; kill -s KILL -- -{group}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # ctrl-C must not end it
    )


def free_port() -> int:
    """Return a port of the loopback interface that no process listens on."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether a process accepts connections on ``port``."""
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex((HOST, port)) == 0
