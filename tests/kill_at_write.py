"""Kill this process, or its whole group, with SIGKILL at one of its writes.

A write is a call of `os.replace`, `rename`, `fsync` or `link`, or a commit of SQLite. A copy of
this file, named `sitecustomize.py`, does the same in a process that Python starts.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "KILL_AT_WRITE"  # "<stage> <number of the write> <before or after> <group or process>"


@dataclass
class Killer:
    """Counts writes, and kills before or after the one with ``number`` (from 1)."""

    number: int
    when: str
    target: str
    count: int = 0

    def install(self, with_database: bool) -> None:
        """Replace the functions that write."""
        for name in ("replace", "rename", "fsync", "link"):
            setattr(os, name, self._dying(getattr(os, name)))
        if not with_database:
            return
        dying, connect = self._dying, sqlite3.connect

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                dying(super().commit)()

        def connect_dying(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            found: sqlite3.Connection = connect(*args, **{"factory": Connection, **kwargs})
            return found

        sqlite3.dbapi2.connect = sqlite3.connect = connect_dying  # type: ignore[assignment]

    def _dying(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            reached = self.count == self.number
            if reached and self.when == "before":
                self._kill()
            done = write(*args, **kwargs)
            if reached and self.when == "after":
                self._kill()
            return done

        return call

    def _kill(self) -> None:
        if self.target == "group":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def install_from_environment() -> None:
    """Install what ``VARIABLE`` asks for, in the process of that stage or verb."""
    if VARIABLE not in os.environ:
        return
    stage, number, when, target = os.environ[VARIABLE].split()
    if any(part in {f"thaw.stages.{stage}", stage} for part in sys.orig_argv):
        Killer(int(number), when, target).install(stage in {"evaluate", "promote"})


if __name__ == "sitecustomize":
    install_from_environment()
