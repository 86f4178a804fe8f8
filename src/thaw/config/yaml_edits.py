"""Edits of single values in a YAML text; every other character stays as it is.

``names`` is the path of a key from the root. Each function parses the text that it gets, so that
edits can follow each other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from thaw.config.yaml_entries import (
    entry_indent,
    fragment,
    insert,
    insert_lines,
    list_style,
)
from thaw.config.yaml_text import flow_text, line_start, next_line, replaced, skip_blank
from thaw.config.yaml_tree import Node, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ABSENT = object()


def set_scalars(text: str, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Set those of ``values`` (by dotted key) that replace a scalar by a scalar.

    Return the text and the keys that were set. The text is parsed once for all of them.
    """
    root, found = parse(text), {}
    for key, value in values.items():
        pair = root.find_path(key.split("."))
        if pair and pair[1].kind == "scalar" and not isinstance(value, dict | list):
            found[key] = pair
    for key in sorted(found, key=lambda key: found[key][1].outer, reverse=True):
        text = _replace(text, *found[key], values[key])  # the places before it stay valid
    return text, list(found)


def set_value(text: str, names: Sequence[str], value: Any, orders: Sequence[Sequence[str]]) -> str:
    """Return ``text`` with ``value`` at ``names``.

    A key that is not there is inserted. ``orders`` are, for each of ``names``, the keys of its
    mapping in their usual order. A mapping that is an alias gets keys of its own beside those of
    the alias.
    """
    node = parse(text)
    may_have_value = node.find_path(names) or "*" in text  # an alias, whose keys are not nodes
    if may_have_value and loaded(text, names) == value and not isinstance(value, bool):
        return text
    for depth, name in enumerate(names):
        found = node.find(name)
        rest = names[depth + 1 :]
        if found is None:
            return insert(
                text, node, name, fragment(text, name, _nested(rest, value), node), orders[depth]
            )
        key, inner = found
        if inner.kind == "alias" and rest:
            return set_value(_with_own_keys(text, key, inner), names, value, orders)
        if rest and (inner.kind != "mapping" or inner.is_empty):
            return _replace(text, key, inner, _nested(rest, value))
        node = inner
    if node.kind == "mapping" and not node.is_empty and isinstance(value, dict) and value:
        return _set_entries(text, names, value, orders)
    return _replace(text, key, node, value)


def remove_value(text: str, names: Sequence[str]) -> str:
    """Return ``text`` without the entry at ``names``; a mapping that becomes empty stays as {}.

    Raises:
        KeyError: the entry is not there.
    """
    node = parse(text)
    parents: list[tuple[Node, Node]] = []
    for name in names:
        found = node.find(name)
        if found is None:
            raise KeyError(name)
        parents.append(found)
        holder, node = node, found[1]
    key, value = parents[-1]
    if holder.is_flow:
        return _without_flow_entry(text, holder, key, value)
    without = text[: line_start(text, key.outer)] + text[next_line(text, value.end) :]
    if len(holder.pairs) > 1 or len(parents) == 1:
        return without
    place = _before_value(text, *parents[-2])
    return replaced(without, place, place, " {}")


def loaded(text: str, names: Sequence[str] = ()) -> Any:
    """Return the value at ``names``; ``_ABSENT`` if there is none.

    Raises:
        YAMLError: the text is not valid.
    """
    value = _loaded(text)
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return _ABSENT
        value = value[name]
    return value


@lru_cache(maxsize=1)  # several steps of an edit read the same text
def _loaded(text: str) -> Any:
    return YAML(typ="safe").load(text)


def _nested(names: Sequence[str], value: Any) -> Any:
    for name in reversed(names):
        value = {name: value}
    return value


def _set_entries(
    text: str, names: Sequence[str], value: dict[str, Any], orders: Sequence[Sequence[str]]
) -> str:
    """Set the entries of a mapping one by one, and remove the others."""
    before = loaded(text, names)
    for name, inner in value.items():
        text = set_value(text, [*names, name], inner, [*orders[: len(names)], list(value)])
    for name in before.keys() - value.keys():
        text = remove_value(text, [*names, name])
    return text


def _replace(text: str, key: Node, old: Node, new: Any) -> str:
    is_block = old.kind in {"list", "mapping"} and not old.is_flow
    if old.kind == "list" and is_block and isinstance(new, list) and new:
        return _replace_items(text, old, new)
    is_filled_flow = old.is_flow and old.kind == "list" and not old.is_empty
    if isinstance(new, dict | list) and new and not key.is_flow and not is_filled_flow:
        return _fill(text, key, old, new)
    if is_block:
        place = _before_value(text, key, old)
        text = _without_lines(text, old)
        return replaced(text, place, place, f" {flow_text(new)}")
    quote = old.quote or ('"' if key.quote == '"' and key.is_flow else "")
    content = [*_anchor(text, old), flow_text(new, quote)]  # a tag would name the old type
    return replaced(text, old.outer, old.end, " ".join(content))


def _anchor(text: str, node: Node) -> list[str]:
    return [part for part in text[node.outer : node.start].split() if part.startswith("&")]


def _fill(text: str, key: Node, old: Node, new: Any) -> str:
    """Replace ``old``, which is below ``key`` in block form, by lines below the key."""
    lines = fragment(text, key.text, new).lines[1:]
    place = text.index(":", key.end) + 1
    if old.kind in {"list", "mapping"} and not old.is_flow:
        text = _without_lines(text, old)
    else:
        text = replaced(text, place, old.end, "".join(f" {name}" for name in _anchor(text, old)))
    return insert_lines(text, next_line(text, place), lines, entry_indent(text, key))


def _without_lines(text: str, block: Node) -> str:
    start = line_start(text, skip_blank(text, block.start))
    return text[:start] + text[next_line(text, block.end) :]


def _before_value(text: str, key: Node, value: Node) -> int:
    """Return the place behind the colon of ``key``, and behind the anchor of its value."""
    colon = text.index(":", key.end) + 1
    properties = text[value.outer : value.start].split("#")[0].rstrip()
    return max(colon, value.outer + len(properties)) if properties else colon


def _with_own_keys(text: str, key: Node, alias: Node) -> str:
    """Replace an alias that is a whole mapping by a mapping that merges it."""
    name = text[alias.start : alias.end]
    if key.is_flow:
        return replaced(text, alias.start, alias.end, f"{{<<: {name}}}")
    colon = text.index(":", key.end) + 1
    text = replaced(text, colon, alias.end, "")
    indent = entry_indent(text, key) + " " * list_style(text)[0]
    return insert_lines(text, next_line(text, colon), [f"<<: {name}"], indent)


def _replace_items(text: str, old: Node, new: list[Any]) -> str:
    """Replace the items of a list in block form that differ; the comments of the others stay."""
    first = skip_blank(text, old.start)  # its dash
    indent = text[line_start(text, first) : first]
    ends = [next_line(text, item.end) for item in old.items]
    starts = [line_start(text, first), *ends[:-1]]
    lines = [f"- {flow_text(item)}" for item in new[len(old.items) :]]
    text = insert_lines(text, ends[-1], lines, indent)
    for at in reversed(range(len(old.items))):
        item = old.items[at]
        if at >= len(new):
            text = text[: starts[at]] + text[ends[at] :]
        elif not _has_value(item, new[at]):
            text = replaced(text, item.start, item.end, flow_text(new[at], item.quote))
    return text


def _has_value(node: Node, value: Any) -> bool:
    """Return whether ``node`` is a scalar with this value, in any spelling."""
    if node.kind != "scalar" or isinstance(value, list | dict):
        return False
    if node.quote or isinstance(value, str):
        return isinstance(value, str) and node.text == value
    return bool(YAML(typ="safe").load(node.text) == value)


def _without_flow_entry(text: str, holder: Node, key: Node, value: Node) -> str:
    at = next(at for at, (other, _) in enumerate(holder.pairs) if other is key)
    if at + 1 < len(holder.pairs):
        return text[: key.outer] + text[holder.pairs[at + 1][0].outer :]
    start = holder.pairs[at - 1][1].end if at else key.outer
    return text[:start] + text[value.end :]
