"""Change a YAML mapping so that its comments and blank lines stay where they are.

ruamel.yaml keeps the lines between two keys with the last scalar before them. A key that is added
behind that scalar would stand after those lines, which belong to what follows. The functions here
detach such lines before a change and attach them again after it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def lines_kept_after(section: CommentedMap, name: str) -> Iterator[None]:
    """Keep the lines that follow the value of ``name`` behind it while it changes."""
    lines = _take_lines_after(section, name)
    yield
    _put_lines_after(section, name, lines)


def insert_key(section: CommentedMap, name: str, value: Any, order: Sequence[str]) -> None:
    """Insert ``name`` into ``section``, after the keys that come before it in ``order``."""
    earlier = set(order[: order.index(name)])
    place = max((number + 1 for number, key in enumerate(section) if key in earlier), default=0)
    if place == 0:
        section.insert(0, name, value)
        return
    lines = _take_lines_after(section, list(section)[place - 1])
    section.insert(place, name, value)
    _put_lines_after(section, name, lines)


def replace_value(section: CommentedMap, name: str, value: Any) -> None:
    """Replace the value of ``name``; the comment on its line and the lines after it stay."""
    before = section[name]
    with lines_kept_after(section, name):
        token = before.ca.comment[0] if _has_line_comment(before) else None
        section[name] = value
        if token is not None:  # a block list keeps the comment of its key's line itself
            section.ca.items[name] = [None, None, token, None]


def remove_key(section: CommentedMap, name: str) -> tuple[Any, Any]:
    """Remove ``name`` and return its value and the comment on its line.

    The lines that follow it stay.
    """
    keys = list(section)
    place = keys.index(name)
    lines = _take_lines_after(section, name)
    comment = section.ca.items.get(name)
    value = section.pop(name)
    if place:
        _put_lines_after(section, keys[place - 1], lines)
    return value, comment


def _has_line_comment(value: Any) -> bool:
    is_block = isinstance(value, CommentedSeq) and not value.fa.flow_style()
    return bool(is_block and value.ca.comment and value.ca.comment[0])


def _take_lines_after(section: CommentedMap, name: str) -> str:
    """Remove and return the whole lines that follow the value of ``name``."""
    holder, key = _last_scalar(section, name)
    slots, slot = holder.ca.items.get(key), _slot(holder)
    token = slots[slot] if slots else None
    if not isinstance(token, CommentToken):
        return ""
    own, newline, lines = token.value.partition("\n")
    if own:
        token.value = own + newline
    else:
        slots[slot] = None
    return str(lines)


def _put_lines_after(section: CommentedMap, name: str, lines: str) -> None:
    if not lines:
        return
    holder, key = _last_scalar(section, name)
    slots, slot = holder.ca.items.setdefault(key, [None, None, None, None]), _slot(holder)
    token = slots[slot]
    if isinstance(token, CommentToken):
        token.value = token.value.rstrip("\n") + "\n" + lines
    else:
        slots[slot] = CommentToken("\n" + lines, CommentMark(0), None)


def _slot(holder: CommentedBase) -> int:
    """Return the place at which ruamel.yaml keeps the comment after a value of ``holder``."""
    return 2 if isinstance(holder, CommentedMap) else 0


def _last_scalar(parent: Any, key: Any) -> tuple[Any, Any]:
    """Return the innermost collection, and the key in it, with which the value at ``key`` ends."""
    value = parent[key]
    while isinstance(value, CommentedBase) and len(value) and not value.fa.flow_style():
        parent, key = value, list(value)[-1] if isinstance(value, CommentedMap) else len(value) - 1
        value = parent[key]
    return parent, key
