"""The labelled files that a source of images lists."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thaw.data.split_names import SplitName
    from thaw.ingest.file_states import FileState


@dataclass(frozen=True)
class Sample:
    """A labelled file; ``path`` is relative to the listing's root, with forward slashes."""

    path: str
    label: str
    split: str | None = None


@dataclass(frozen=True)
class BadFile:
    """A file or folder that cannot be used, and the reason.

    ``path`` is relative to the listing's root. ``label`` is empty where the source gives none.
    ``state`` is None if the file was not read.
    """

    path: str
    reason: str
    label: str = ""
    state: FileState | None = None

    def line(self, root: Path) -> str:
        """Return path and reason as a line of a message."""
        return f"{shown_path(str(root / self.path))}: {self.reason}"


@dataclass(frozen=True)
class Fields:
    """The fields with label and split: ``cls``, ``txt`` or ``json.KEY``; no ``split`` if empty."""

    label: str
    split: str = ""


@dataclass
class Shards:
    """The tar shards of a listing in order, and the split of each; None if not given.

    ``add`` appends a sample to those of the listing, when its shard is read. ``starts`` has the
    number of bytes before each shard and, at the end, that of all; it is empty if the size of one
    is not known. ``read_bytes`` are those of the samples that are packed.
    """

    names: Sequence[str]
    fields: Fields
    splits: Sequence[SplitName | None]
    add: Callable[[Sample], None]
    starts: Sequence[int] = ()
    read_bytes: int = 0

    def expected(self, images: int) -> int:
        """Return how many images all shards have if the rest is as ``images`` that were read.

        0 if nothing is known.
        """
        return round(images * self.starts[-1] / self.read_bytes) if self.read_bytes else 0


@dataclass
class Listing:
    """The labelled files of a source.

    ``classes`` includes classes without images. ``problems`` are lines that name what must be
    corrected. ``bad_files`` are found bad without reading them. ``ignored`` counts files that are
    not read, by kind. ``notes`` are lines that say how the source was understood. ``follow_links``
    is that of the section ``data``. ``has_clear_layout`` is False where a problem leaves open which
    folders are classes. With ``shards``, samples, classes and further bad files are
    added while they are read.
    """

    root: Path
    samples: Sequence[Sample]
    classes: list[str]
    problems: list[str] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    follow_links: bool = False
    has_clear_layout: bool = True
    shards: Shards | None = None


def is_utf8(name: str) -> bool:
    """Return whether a file name can be written as text."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown_path(path: str) -> str:
    """Return ``path`` on one line, with escapes for bytes that are no text."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in path
    )
