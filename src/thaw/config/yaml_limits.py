"""Limits of a YAML file: its length, its depth, and its size with all aliases written out.

A short text can be a large document: an alias may stand for a list of aliases, and so on. A deep
one ends Python's recursion. Both are refused before the document is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MOST_CHARACTERS = 100_000
_DEEPEST = 30
_MOST_VALUES = 20_000


def excess(text: str) -> str:
    """Return in words which limit ``text`` exceeds; empty if none, or if it is not valid YAML."""
    if len(text) > MOST_CHARACTERS:
        return f"it has more than {MOST_CHARACTERS:,} characters"
    counter = _Counter()
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if found := counter.add(event):
                return found
    except (YAMLError, ValueError):
        pass  # the function that loads the text reports it
    return ""


@dataclass
class _Counter:
    """The number of values of a document, aliases written out, while its events arrive."""

    open: list[tuple[str, int]] = field(default_factory=lambda: [("", 0)])
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, event: Any) -> str:
        """Count ``event``; return which limit is exceeded now."""
        if isinstance(event, SequenceStartEvent | MappingStartEvent):
            self.open.append((event.anchor or "", 1))
            if len(self.open) > _DEEPEST:
                return f"it is nested more than {_DEEPEST - 1} deep"
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            self._count(*self.open.pop())
        elif isinstance(event, ScalarEvent):
            self._count(event.anchor or "", 1)
        elif isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self.open):
                return f"the alias *{event.anchor[:40]} is inside of what it refers to"
            self._count("", self.sizes.get(event.anchor, 1))
        if self.open[-1][1] > _MOST_VALUES:
            return f"it has more than {_MOST_VALUES:,} values, aliases written out"
        return ""

    def _count(self, anchor: str, size: int) -> None:
        self.sizes[anchor] = size
        parent, before = self.open[-1]
        self.open[-1] = (parent, before + size)
