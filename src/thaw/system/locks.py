"""Locks that the kernel releases when their process ends in any way."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from thaw.errors import ThawError
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def only_process(path: Path, what: str) -> Iterator[None]:
    """Hold a lock on ``path``, and write this process's number to a file beside it.

    ``what`` names the locked work in the error.

    Raises:
        ThawError: another process holds the lock; its pid is named. Or the folder is not writable.
    """
    owner = path.with_suffix(".pid")
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        owner.write_text(str(os.getpid()), encoding="utf-8")
    except Timeout:
        raise ThawError(
            f"{what} is already running as process {_read(owner)}; wait for it, or stop it"
        ) from None
    except OSError as error:
        lock.release()
        raise ThawError(write_failure(path, error)) from error
    try:
        yield
    finally:
        lock.release()


def _read(owner: Path) -> str:
    """Return the process number in ``owner``."""
    try:
        return owner.read_text(encoding="utf-8").strip() or "unknown"
    except OSError:
        return "unknown"
