"""The note of an upgrade that has not ended: what the next one completes if this one is killed.

An upgrade writes files one after the other, and lets DVC record the outputs last. The files that it
has written do not say any more which outputs it was going to keep.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from thaw.system.files import write_json
from thaw.system.project_paths import SCRATCH

_NOTE = SCRATCH / "upgrade.json"


@dataclass(frozen=True)
class UnfinishedUpgrade:
    """An upgrade that has begun.

    Attributes:
        code: The digest of each stage that it writes to ``thaw.lock``.
        unchanged: The stages in which nothing but the code had changed when it began.
        accepted: The stages whose outputs DVC takes over.
        outputs: The files of outputs that it writes or removes.
        keep: Whether it keeps outputs of earlier code.
    """

    code: dict[str, str]
    unchanged: list[str]
    accepted: list[str]
    outputs: list[str]
    keep: bool

    def begin(self) -> None:
        """Write the note.

        Raises:
            ThawError: the disk is full or read-only.
        """
        write_json(_NOTE, asdict(self))

    def paths(self) -> list[Path]:
        """Return ``outputs`` as paths."""
        return [Path(name) for name in self.outputs]


def read(code: dict[str, str]) -> UnfinishedUpgrade | None:
    """Return the unfinished upgrade to ``code``, None if there is none.

    One to other code does not count: the installed thaw has changed since.
    """
    try:
        found = UnfinishedUpgrade(**json.loads(_NOTE.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    names = [found.unchanged, found.accepted, found.outputs]
    are_lists = all(isinstance(each, list) for each in names)
    return found if are_lists and found.code == code else None


def end() -> None:
    """Remove the note."""
    _NOTE.unlink(missing_ok=True)
