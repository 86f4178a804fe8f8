"""The JSON schema of ``params.yaml``, from which editors complete and check."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from thaw.config.params import Params

SCHEMA_FILE = "params.schema.json"


def schema_text() -> str:
    """Return the JSON schema of ``params.yaml`` as the text of ``params.schema.json``."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of ``params.yaml``: descriptions, defaults, ranges, units, sources.

    The result is shared: callers do not change it.
    """
    content: dict[str, Any] = _without_titles(Params.model_json_schema())
    for reference in content["properties"].values():
        if "$ref" in reference:
            reference.pop("default")  # the defaults stand at the parameters of the section
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}


def parameter_schema(key: str) -> dict[str, Any]:
    """Return the JSON schema of the parameter with the dotted ``key``.

    Raises:
        KeyError: there is no such parameter.
    """
    content = schema()
    node = content
    for part in key.split("."):
        node = node["properties"][part]
        if "$ref" in node:
            node = content["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def range_text(node: dict[str, Any]) -> str:
    """Return in words which values the JSON schema ``node`` of a parameter accepts."""
    if "anyOf" in node:
        return " or ".join(range_text(choice) for choice in node["anyOf"])
    if "enum" in node:
        return ", ".join(str(choice) for choice in node["enum"])
    if "const" in node:
        return str(node["const"])
    kind = node["type"]
    if kind == "array":
        items = node.get("items") or {}
        return f"list of {range_text(items)}" if items else "list"
    if kind in {"integer", "number"}:
        return _limits(node, "integer" if kind == "integer" else "number")
    names = {"boolean": "true, false", "string": "text", "object": "mapping"}
    return names[kind]


def _limits(node: dict[str, Any], kind: str) -> str:
    limits = (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    )
    return " ".join([kind, *(f"{word} {node[key]:g}" for key, word in limits if key in node)])


def _without_titles(node: Any) -> Any:
    """Return ``node`` without the titles that pydantic derives from names."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if isinstance(node, dict):
        return {
            key: _without_titles(value)
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
        }
    return node
