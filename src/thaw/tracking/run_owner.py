"""The process that writes an MLflow run: its name, its user, and how its work ended."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROCESS = "thaw.system.processes"  # the tag of a run that holds ``this_process``


def this_process() -> str:
    """Return host name and process id, as the tag ``PROCESS`` holds them."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_dead(tags: Mapping[str, str]) -> bool:
    """Return whether a run with these ``tags`` belongs to a process of this machine that ended.

    MLflow keeps the run of a killed process in the state RUNNING.
    """
    pid = tags.get(PROCESS, "").rpartition(":")[2]
    is_number = re.fullmatch("[0-9]{1,9}", pid) is not None  # anyone can write the tag
    return is_here(tags) and is_number and not psutil.pid_exists(int(pid))


def is_here(tags: Mapping[str, str]) -> bool:
    """Return whether ``tags`` name a process of this machine."""
    return tags.get(PROCESS, "").rpartition(":")[0] == socket.gethostname()


def user() -> str:
    """Return the name of the user of this process, or the user id if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, which is common in containers
        return str(os.getuid())


@contextlib.contextmanager
def noting_failure(note: Callable[[str], object]) -> Iterator[None]:
    """Call ``note`` with the status of a run whose work in this block fails or is stopped.

    Raises:
        KeyboardInterrupt: the work was interrupted: KILLED.
        SystemExit: the process was told to stop: KILLED.
        BaseException: any other error: FAILED.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        note("KILLED")
        raise
    except BaseException:
        note("FAILED")
        raise
