"""States of the source files: find files that changed without a change of their time.

A file that is changed by a program gets a new modification time. Where the content is another and
the time is the same, the disk or a copy has damaged the file, perhaps in a way that still decodes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FILE = "source_states.json"
_MOST_NAMED = 5


class FileState(NamedTuple):
    """Modification time in nanoseconds and SHA-256 of a file."""

    modified: int
    digest: str


def read(path: Path, root: Path) -> dict[str, FileState]:
    """Return the states of the files below ``root`` at the last run; empty if they are unknown.

    The file ``path`` is a record of this machine. If it is damaged, nothing is compared.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["root"] != str(root.resolve()):
            return {}
        return {name: FileState(*state) for name, state in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write(states: Mapping[str, FileState], path: Path, root: Path) -> None:
    """Write the states of the files below ``root``.

    Raises:
        ThawError: the file cannot be written.
    """
    content = {"root": str(root.resolve()), "files": dict(sorted(states.items()))}
    write_whole(path, json.dumps(content).encode())


def changed_without_time(
    before: Mapping[str, FileState], now: Mapping[str, FileState]
) -> list[str]:
    """Return the files whose content is another and whose time is the same, sorted."""
    return sorted(
        name
        for name in before.keys() & now.keys()
        if before[name].modified == now[name].modified and before[name].digest != now[name].digest
    )


def warnings(changed: Sequence[str]) -> list[str]:
    """Return a warning that names the files."""
    if not changed:
        return []
    more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
    return [
        f"{len(changed)} source file{'s' * (len(changed) != 1)} changed since the last run without "
        f"a change of the modification time: {', '.join(changed[:_MOST_NAMED])}{more}: the disk or "
        "a copy may have damaged them; compare them with a backup"
    ]
