"""The labelled files that a source of images lists."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """A labelled file; ``path`` is relative to the listing's root, with forward slashes."""

    path: str
    label: str
    split: str | None = None


@dataclass
class Listing:
    """The labelled files of a source.

    ``classes`` includes classes without images. ``problems`` are lines that name what must be
    corrected. ``ignored`` counts files that are not read, by kind. ``notes`` are lines that say how
    the source was understood.
    """

    root: Path
    samples: list[Sample]
    classes: list[str]
    problems: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
