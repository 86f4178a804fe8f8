"""Complete writes of files: fsync, then rename.

Outputs are written in this way only. A link in place of an output is replaced, and what it leads to
is not changed: a file of the user, or the content of a file in DVC's cache (also a hard link).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the content of the file ``path``, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
    write_parts(path, [content], f"{len(content):,} bytes")


def write_parts(path: Path, parts: Iterable[bytes], what: str = "the file") -> None:
    """Write ``parts`` one after the other; see :func:`write_whole`. A message names ``what``."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            for content in parts:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # unlink fails as well on a read-only disk
            part.unlink(missing_ok=True)
        raise ThawError(write_failure(path, error, what)) from error


def write_json(path: Path, content: object) -> None:
    """Write ``content`` as indented JSON; see :func:`write_whole`."""
    write_whole(path, f"{json.dumps(content, indent=2)}\n".encode())


def _sync_folder(folder: Path) -> None:
    """Write the entries of ``folder`` to the disk: a rename is not stored before."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
