"""Change values in ``params.yaml`` and nothing else: a decision is a diff of a line a value."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from thaw.config.loading import PARAMS_FILE, load
from thaw.config.params import Params
from thaw.config.values import flatten
from thaw.errors import ThawError
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_PLAIN = re.compile(r"[A-Za-z][\w./-]*")
_TRUTH = {"no", "yes", "on", "off", "true", "false", "null"}  # to some reader of YAML, no strings


def write_values(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> list[str]:
    """Put ``values`` (by dotted key) into ``path``; the keys whose value changed.

    Comments, order and blank lines stay; a comment keeps its column where there is room.

    Raises:
        ThawError: a key is not there, or the result would not be valid; nothing is written then.
    """
    before = flatten(load(Params, path))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    root = YAML().compose("".join(lines))
    # from the end, so that the places of what comes before stay true
    spans = [(_find(root, key, path), value) for key, value in values.items()]
    for node, value in sorted(spans, key=lambda pair: -pair[0].start_mark.index):
        _replace(lines, node, _text(value))
    text = "".join(lines)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    try:
        after = flatten(load(Params, part))
    except ThawError as error:
        raise ThawError(str(error).replace(part.name, path.name)) from None
    finally:
        part.unlink()
    write_whole(path, text.encode())
    return [key for key in values if before[key] != after[key]]


def _find(root: Node, key: str, path: Path) -> Node:
    node = root
    for part in key.split("."):
        pairs = node.value if isinstance(node, MappingNode) else []
        found = [value for name, value in pairs if name.value == part]
        if not found:
            raise ThawError(f"{path}: there is no {key} to change")
        node = found[0]
    return node


def _replace(lines: list[str], node: Node, text: str) -> None:
    start, end = node.start_mark, node.end_mark
    first, rest = lines[start.line], lines[end.line][end.column :]
    comment = rest.lstrip(" ")
    if comment.startswith("#"):
        column = end.column + len(rest) - len(comment)
        room = column - start.column - len(text)
        rest = " " * max(1, room) + comment
    lines[start.line : end.line + 1] = [first[: start.column] + text + rest]


def _text(value: Any) -> str:
    """``value`` in YAML on one line."""
    if isinstance(value, float):
        # Decimal: every digit. Other readers of YAML take an exponent without a point for a string.
        text = format(Decimal(repr(float(value))), "f")
        return text if "." in text else f"{text}.0"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value not in _TRUTH:
        return value
    return json.dumps(value)
