"""The process that writes an MLflow run: its name, its user, and how its work ended."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import os
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROCESS = "thaw.system.processes"  # the tag of a run that holds ``this_process``
STOPPED_IN = "thaw.stopped_in"
DESCRIPTION = "mlflow.note.content"
_LONGEST = 2000  # characters of a description
# Seconds after which a process of another machine is taken for killed. The time is that of its
# clock, or of the server's, which can be hours from the one here.
_LONGEST_WORK = 24 * 3600
_FIRST_NAMESPACE = "pid:[4026531836]"  # of process ids outside of containers: PROC_PID_INIT_INO


def this_process() -> str:
    """Return machine and process id, as the tag ``PROCESS`` holds them: "host/1a2b3c4d:123"."""
    return f"{_machine()}:{os.getpid()}"


def is_dead(tags: Mapping[str, str]) -> bool:
    """Return whether a run with these ``tags`` belongs to a process of this machine that ended.

    MLflow keeps the run of a killed process in the state RUNNING.
    """
    pid = tags.get(PROCESS, "").rpartition(":")[2]
    is_number = re.fullmatch("[0-9]{1,9}", pid) is not None  # anyone can write the tag
    return is_here(tags) and is_number and not psutil.pid_exists(int(pid))


def is_here(tags: Mapping[str, str]) -> bool:
    """Return whether ``tags`` name a process of this machine. Earlier tags have its name alone."""
    return tags.get(PROCESS, "").rpartition(":")[0] in {_machine(), socket.gethostname()}


def is_another_at_work(tags: Mapping[str, str], started: float) -> bool:
    """Return whether another process may be writing what has these ``tags``.

    ``started`` is when its writing began, in milliseconds since 1970. A process of another machine
    is taken for killed after a day.
    """
    if PROCESS not in tags or tags[PROCESS] == this_process():
        return False
    if is_here(tags):
        return not is_dead(tags)
    return time.time() - started / 1000 < _LONGEST_WORK


@functools.cache
def _machine() -> str:
    """Return the host name and a number, in which machines and containers of one name differ.

    The process ids of another machine, or of another container, say nothing about those here.
    """
    parts = [_content("/etc/machine-id")]
    with contextlib.suppress(OSError):  # not Linux
        namespace = Path("/proc/self/ns/pid").readlink().name
        if namespace != _FIRST_NAMESPACE:  # a container, whose image may have an id
            parts = [_content("/proc/sys/kernel/random/boot_id"), namespace]
    number = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]
    return f"{socket.gethostname()}/{number}"


def _content(path: str) -> str:
    """Return the text of a file, "" if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def user() -> str:
    """Return the name of the user of this process, or the user id if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, which is common in containers
        return str(os.getuid())


def server_account(uri: str) -> str:
    """Return the account with which MLflow logs in to the server ``uri``, "" if there is none.

    It is the name that this process sends. The server alone knows whether the password fits.
    """
    if not uri.startswith(("http://", "https://")):
        return ""
    from mlflow.utils.credentials import read_mlflow_creds

    credentials = read_mlflow_creds()
    has_both = bool(credentials.username and credentials.password)  # else MLflow sends neither
    return str(credentials.username) if has_both else ""


def stop_tags(stage: str, reason: str) -> dict[str, str]:
    """Return the tags that say where and why a run stopped. MLflow shows the text above the run."""
    text = f"{stage} stopped: {reason}\n\nThe same `dvc repro` continues it."
    return {STOPPED_IN: stage, DESCRIPTION: text[:_LONGEST]}


@contextlib.contextmanager
def noting_failure(note: Callable[[str, str], object]) -> Iterator[None]:
    """Call ``note`` with status and reason of a run whose work in this block fails or is stopped.

    Raises:
        KeyboardInterrupt: the work was interrupted: KILLED.
        SystemExit: the process was told to stop: KILLED.
        BaseException: any other error: FAILED.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        note("KILLED", "interrupted")
        raise
    except BaseException as error:
        note("FAILED", str(error) if isinstance(error, ThawError) else type(error).__name__)
        raise
