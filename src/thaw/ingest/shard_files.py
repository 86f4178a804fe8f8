"""The files of a source of tar shards: their names, and local copies of remote ones.

Few copies are on the disk at a time, so that the shards may be larger than the disk.
"""

from __future__ import annotations

import os.path
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from braceexpand import braceexpand

from thaw.data.prefetching import prefetched
from thaw.errors import ThawError
from thaw.system.storage_errors import DISK_ERRORS, write_failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_REMOTE = "://"
_AHEAD = 1  # shards that are copied before they are needed
_BLOCK = 8 << 20  # bytes that are copied at once


@dataclass(frozen=True)
class LocalShard:
    """A shard on this machine: its number and name, and whether ``file`` is a copy to remove."""

    number: int
    name: str
    file: Path
    is_copy: bool


def shard_names(path: Path) -> list[str]:
    """Return the shards that ``path`` names: a folder with tar files, or a text file.

    Each line of the text file is a path relative to its folder or an address such as
    ``s3://bucket/train-{000..009}.tar``; braces stand for several. Lines that start with ``#``,
    also after white space, do not count.

    Raises:
        ThawError: there is none, or one is named twice or has unbalanced braces.
    """
    if path.is_dir():
        names = sorted(str(each.relative_to(path)) for each in path.rglob("*.tar"))
    else:
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            patterns = [line for line in lines if line and not line.startswith("#")]
            names = [name for pattern in patterns for name in braceexpand(pattern)]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ThawError(
                f"data.path: {path} is no list of shards: {reason}; write one file or address to a "
                "line, or give a folder of .tar files"
            ) from None
    if not names:
        raise ThawError(f"data.path: {path} names no shards: put a .tar file there, or its name")
    files = Counter(name if _REMOTE in name else os.path.normpath(name) for name in names)
    if repeated := [name for name, count in files.items() if count > 1]:
        raise ThawError(f"data.path: {path} names {repeated[0]} twice: remove one of them")
    return names


def local_shards(
    names: Sequence[str], root: Path, folder: Path, first: int = 0
) -> Iterator[LocalShard]:
    """Yield the shards from number ``first`` on; remote ones are copied into ``folder``.

    One is copied ahead. The caller removes the copies.

    Raises:
        ThawError: a shard cannot be read.
    """
    found = (_local(number, names[number], root, folder) for number in range(first, len(names)))
    is_remote = any(_REMOTE in name for name in names[first:])
    return prefetched(found, _AHEAD) if is_remote else found


def _local(number: int, name: str, root: Path, folder: Path) -> LocalShard:
    if _REMOTE in name:
        return LocalShard(number, name, _copied(name, folder / f"{number}.tar"), is_copy=True)
    if not (root / name).is_file():
        raise ThawError(
            f"the shard {root / name} is not a file: correct the list that data.path names, or "
            "restore the file"
        )
    return LocalShard(number, name, root / name, is_copy=False)


def _copied(address: str, target: Path) -> Path:
    """Copy the shard at ``address`` to ``target``; return ``target``."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # a link would be written through
        with target.open("wb") as stream:  # also its end writes
            _copy(address, stream)
    except OSError as error:
        raise ThawError(write_failure(target, error)) from error
    return target


def _copy(address: str, stream: BinaryIO) -> None:
    """Write the content of the shard at ``address`` to ``stream``.

    Raises:
        ThawError: it cannot be read.
        OSError: the disk of ``stream`` is full, or fails.
    """
    import fsspec

    try:
        with fsspec.open(address, "rb") as remote:
            shutil.copyfileobj(remote, stream, _BLOCK)
    except ImportError as error:
        raise ThawError(f"{address}: {error}; pip install 'thaw-vision[servers]'") from None
    except Exception as error:  # each store has its own errors
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        raise ThawError(
            f"the shard {address} cannot be copied: {type(error).__name__}: {error}; "
            "credentials and addresses of object stores come from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, ...); the same "
            "command continues"
        ) from None
