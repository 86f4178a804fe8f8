"""Entries of a YAML mapping as text: read one, write one, insert a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from thaw.config.yaml_text import (
    after_entry,
    block_lines,
    column,
    entry_start,
    flow_text,
    line_break,
    line_end,
    line_start,
    skip_blank,
)
from thaw.config.yaml_tree import Node, parse

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fragment(NamedTuple):
    """A value as text: in brackets, and as the lines of its entry in block form."""

    flow: str
    lines: list[str]


def fragment(text: str, name: str, value: Any, holder: Node | None = None) -> Fragment:
    """Return ``value`` as the text of an entry ``name`` in the style of ``text``."""
    quote = '"' if holder and _is_json(holder) else ""
    return Fragment(flow_text(value, quote), block_lines(name, value, *list_style(text)))


def raw_fragment(text: str, names: Sequence[str], name: str) -> Fragment | None:
    """Return the value at ``names`` as it is written, with the comment on its line, for ``name``.

    None if it takes several lines, is an alias, or is not there.
    """
    node, holder = parse(text), None
    for part in names:
        found = node.find(part)
        if found is None:
            return None
        holder, node = node, found[1]
    end = line_end(text, node.outer)
    is_block = node.kind in {"list", "mapping"} and not node.is_flow
    if end < node.end or is_block or node.kind == "alias" or holder is None:
        return None
    value = text[node.outer : node.end]
    comment = "" if holder.is_flow else text[node.end : end].rstrip()
    return Fragment(value, [f"{name}: {value}{comment}"])


def put_raw(text: str, names: Sequence[str], content: Fragment) -> str:
    """Return ``text`` with the entry at ``names``, which is there on one line, as ``content``."""
    found = parse(text).find_path(names)
    assert found is not None
    key, node = found
    if key.is_flow:
        return text[: node.outer] + content.flow + text[node.end :]
    return text[: key.outer] + content.lines[0] + text[line_end(text, node.end) :]


def insert(
    text: str, node: Node, name: str, content: Fragment, order: Sequence[str] | None = None
) -> str:
    """Return ``text`` with the new entry ``name`` in the mapping ``node``.

    The new entry is placed after the keys that precede it in ``order``, or at the end if there is
    no order.
    """
    earlier = None if order is None else {"<<", *order[: order.index(name)]}
    numbered = enumerate((key.text for key, _ in node.pairs), start=1)
    place = max((at for at, key in numbered if earlier is None or key in earlier), default=0)
    if node.is_flow and node.pairs:
        return _insert_in_flow(text, node, place, name, content.flow)
    if node.is_flow:  # the root
        return text[: node.start] + line_break(text).join(content.lines) + text[node.end :]
    indent = entry_indent(text, node.pairs[0][0])
    start = line_start(text, node.pairs[0][0].outer)
    if not place and text[start:].startswith((indent + node.pairs[0][0].text, indent + "?")):
        return insert_lines(text, start, content.lines, indent)
    _, value = node.pairs[place - 1]  # with place 0, the last one
    return insert_lines(text, after_entry(text, value.end, len(indent)), content.lines, indent)


def _insert_in_flow(text: str, node: Node, place: int, name: str, value: str) -> str:
    entry = f'"{name}": {value}' if _is_json(node) else f"{name}: {value}"
    if place:
        end = node.pairs[place - 1][1].end
        return f"{text[:end]}, {entry}{text[end:]}"
    start = node.pairs[0][0].outer
    return f"{text[:start]}{entry}, {text[start:]}"


def insert_lines(text: str, place: int, lines: Sequence[str], indent: str) -> str:
    """Return ``text`` with ``lines`` inserted at ``place``, each after ``indent``.

    ``place`` is the start of a line or the end of the text.
    """
    if not lines:
        return text
    newline = line_break(text)
    added = newline.join(indent + line for line in lines)
    if place and text[place - 1] not in "\r\n\ufeff":  # the last line has no line break
        return text[:place] + newline + added + text[place:]
    return text[:place] + added + newline + text[place:]


def entry_indent(text: str, key: Node) -> str:
    """Return the white space before the entry of ``key``."""
    return " " * column(text, entry_start(text, key.outer))


def _is_json(node: Node) -> bool:
    return node.is_flow and bool(node.pairs) and all(key.quote == '"' for key, _ in node.pairs)


def list_style(text: str) -> tuple[int, int]:
    """Return the indentation of a section's keys, and of the dashes of lists below their key."""
    steps, offsets = [], []
    for _, section in parse(text).pairs:
        for key, value in section.pairs if not section.is_flow else ():
            steps.append(column(text, entry_start(text, key.outer)))
            if value.kind == "list" and not value.is_flow:
                dash = skip_blank(text, value.start)
                offsets.append(max(0, column(text, dash) - column(text, key.outer)))
    return min(steps, default=2), min(offsets, default=0)
