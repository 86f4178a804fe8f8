"""Entries of a folder at which DVC stops or waits for ever, before a stage starts.

DVC opens every file of a folder that a stage depends on. A link to nowhere, a socket or a name that
is not UTF-8 stops it, a named pipe makes it wait. Entries that ``.dvcignore`` names are skipped.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thaw.ingest.listing import is_utf8, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Obstacle(NamedTuple):
    """An entry that DVC cannot read; ``path`` starts with the folder that was searched."""

    path: str
    reason: str

    @property
    def line(self) -> str:
        """Path and reason as a line of a message."""
        return f"{shown_path(self.path)}: {self.reason}"


def find_obstacles(root: Path) -> list[Obstacle]:
    """Return the entries below ``root`` that DVC cannot read, sorted by path.

    Links to folders are not followed, as DVC does. Without such a folder there are none.
    """
    return sorted(_obstacles(root)) if root.is_dir() else []


def _obstacles(root: Path) -> Iterator[Obstacle]:
    unreadable: list[Obstacle] = []

    def note(error: OSError) -> None:
        unreadable.append(Obstacle(str(error.filename), f"cannot be read: {error.strerror}"))

    for parent, folders, files in os.walk(root, onerror=note):
        for name in files:
            path = os.path.join(parent, name)  # noqa: PTH118  (many files)
            if reason := _reason(path, name):
                yield Obstacle(path, reason)
        for name in [each for each in folders if not is_utf8(each)]:
            folders.remove(name)
            yield Obstacle(str(Path(parent, name)), "the name is not valid UTF-8")
    yield from unreadable


def _reason(path: str, name: str) -> str | None:
    if not is_utf8(name):
        return "the name is not valid UTF-8"
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114
            return f"a link to {shown_path(os.readlink(path))}: {error.strerror}"  # noqa: PTH115
        return str(error.strerror)
    if not stat.S_ISREG(mode):
        return _KINDS.get(stat.S_IFMT(mode), "not a file")
    return None if os.access(path, os.R_OK) else "cannot be read: permission denied"
