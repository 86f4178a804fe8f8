"""The nodes of a YAML document with their places in its text, so that single values can be edited.

ruamel.yaml's own round trip writes the whole document again, in one style. The places come from its
parser, so that every valid document is understood: anchors, aliases, flow and block form, quoted
keys, document markers, any line ending.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kind = Literal["scalar", "list", "mapping", "alias"]

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # the anchor and the tag before a value
_MARKERS = (StreamStartEvent, StreamEndEvent, DocumentStartEvent, DocumentEndEvent)


@dataclass
class Node:
    """A value in a YAML text.

    ``start`` and ``end`` are its places in the text, without anchor and tag (at ``outer``) and
    without the comments after it. ``is_flow``: it is a list or a mapping in brackets, or inside of
    brackets. ``quote`` is the quotation mark of a scalar, or "". ``text`` is the content of a
    scalar.
    """

    kind: Kind
    outer: int
    start: int
    end: int
    is_flow: bool = False
    quote: str = ""
    text: str = ""
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Return whether it is a list or a mapping without content."""
        return self.kind in {"list", "mapping"} and not self.items and not self.pairs

    def find(self, name: str) -> tuple[Node, Node] | None:
        """Return the nodes of the key ``name`` and its value; None if this mapping has no such key.

        Keys that ``<<`` merges into the mapping do not count.
        """
        return next((pair for pair in self.pairs if pair[0].text == name), None)

    def find_path(self, names: Sequence[str]) -> tuple[Node, Node] | None:
        """Return what :meth:`find` returns for the last of ``names``, from mapping to mapping."""
        node, found = self, None
        for name in names:
            found = node.find(name)
            if found is None:
                return None
            node = found[1]
        return found


@lru_cache(maxsize=1)  # several steps of an edit read the same text
def parse(text: str) -> Node:
    """Return the root node of ``text``, which must be one valid YAML document.

    Do not change the nodes: the next call for the same text returns them again.
    """
    events = YAML(typ="safe", pure=True).parse(text)
    wanted = (event for event in events if not isinstance(event, _MARKERS))
    return _node(text, next(wanted), wanted, in_flow=False)


def _node(text: str, event: Any, rest: Iterator[Any], *, in_flow: bool) -> Node:
    outer, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, AliasEvent):
        return Node("alias", outer, outer, end, in_flow)
    properties = _PROPERTIES.match(text, outer, max(end, outer))
    start = properties.end() if properties else outer
    if isinstance(event, ScalarEvent):
        end = start + len(text[start:end].rstrip())
        quote = event.style if event.style in {"'", '"'} else ""
        return Node("scalar", outer, start, end, in_flow, quote, event.value)
    is_flow = bool(event.flow_style)
    if isinstance(event, SequenceStartEvent):
        return _list(text, Node("list", outer, start, end, is_flow), rest)
    assert isinstance(event, MappingStartEvent)
    return _mapping(text, Node("mapping", outer, start, end, is_flow), rest)


def _list(text: str, node: Node, rest: Iterator[Any]) -> Node:
    for event in rest:
        if isinstance(event, SequenceEndEvent):
            node.end = event.end_mark.index if node.is_flow else _end_of(node.items)
            break
        node.items.append(_node(text, event, rest, in_flow=node.is_flow))
    return node


def _mapping(text: str, node: Node, rest: Iterator[Any]) -> Node:
    for event in rest:
        if isinstance(event, MappingEndEvent):
            values = [value for _, value in node.pairs]
            node.end = event.end_mark.index if node.is_flow else _end_of(values)
            break
        key = _node(text, event, rest, in_flow=node.is_flow)
        value = _node(text, next(rest), rest, in_flow=node.is_flow)
        if value.start == value.end and not node.is_flow:  # nothing: it is said to be further on
            value.outer = value.start = value.end = text.index(":", key.end) + 1
        node.pairs.append((key, value))
    return node


def _end_of(nodes: list[Node]) -> int:
    return nodes[-1].end
