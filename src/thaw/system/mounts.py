"""Mounted folders: a bind mount gives one folder a second path that contains no link."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_TABLE = Path("/proc/self/mountinfo")  # of Linux; see proc_pid_mountinfo(5)
_ESCAPE = re.compile(r"\\([0-7]{3})")  # of spaces, tabs, line ends and backslashes


class Place(NamedTuple):
    """A path on a disk: the number of the disk, and the path from its own root."""

    disk: str
    path: Path


def place_of(real: Path) -> Place | None:
    """Return the place of an absolute path without links; None where the system does not tell."""
    mounts = _mounts()
    point = next((folder for folder in (real, *real.parents) if folder in mounts), None)
    if point is None:
        return None
    root = mounts[point]
    return Place(root.disk, root.path / real.relative_to(point))


def mounts_below(real: Path) -> list[Path]:
    """Return the folders below an absolute path without links on which something is mounted."""
    return [point for point in _mounts() if point != real and point.is_relative_to(real)]


def _mounts() -> dict[Path, Place]:
    """Return the root of what is mounted at each path; the last one is visible."""
    try:
        return _parsed(_TABLE.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return {}


@lru_cache(maxsize=1)
def _parsed(table: str) -> dict[Path, Place]:
    rows = [line.split(" ") for line in table.splitlines()]
    return {Path(_text(row[4])): Place(row[2], Path(_text(row[3]))) for row in rows if len(row) > 4}


def _text(field: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)
