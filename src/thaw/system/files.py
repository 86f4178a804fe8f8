"""Complete writes of files (fsync, then rename), and a lock for one process."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def resolved(path: Path) -> Path:
    """Return ``path`` with its links followed.

    Raises:
        OSError: a link leads back to itself.
    """
    try:
        return path.resolve()
    except RuntimeError:  # Python before 3.13
        raise OSError(errno.ELOOP, "a link to itself") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader, also after a crash, finds all of it or the old file.

    Raises:
        ThawError: the disk is full or read-only. The old file is not changed.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # unlink fails as well on a read-only disk
            part.unlink(missing_ok=True)
        raise ThawError(
            f"{path}: could not write {len(content):,} bytes: {error.strerror}"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Write the entries of ``folder`` to the disk: a rename is not stored before."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def only_process(path: Path, what: str) -> Iterator[None]:
    """Hold a lock on ``path``; the kernel releases it when this process ends in any way.

    ``what`` names the locked work in the error.

    Raises:
        ThawError: another process holds the lock; its pid is named.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+")
    except OSError as error:
        raise ThawError(f"{path}: could not open it for writing: {error.strerror}") from error
    with opened as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            owner = stream.read().strip() or "unknown"
            raise ThawError(
                f"{what} is already running as process {owner}; wait for it, or stop it"
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
