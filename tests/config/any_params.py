"""Random valid sections of ``params.yaml``, drawn from the JSON schema of the parameters."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from thaw.config.params import Params

_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)
_LARGEST = 1000.0


def any_content() -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    """Return a strategy for the content of a file with some valid values, by section."""
    schema = Params.model_json_schema()
    sections: dict[str, st.SearchStrategy[dict[str, Any]]] = {}
    for name, reference in schema["properties"].items():
        definition = schema["$defs"].get(reference.get("$ref", "").rpartition("/")[2])
        if definition is None:
            continue
        drawn = {key: _value(node) for key, node in definition["properties"].items()}
        values = {key: strategy for key, strategy in drawn.items() if strategy is not None}
        sections[name] = st.fixed_dictionaries({}, optional=values)
    return st.fixed_dictionaries({}, optional=sections)


def _value(node: dict[str, Any]) -> st.SearchStrategy[Any] | None:
    """Return a strategy for a value of the schema ``node``; None where it is not a plain value."""
    if "enum" in node or "const" in node:
        return st.sampled_from(node.get("enum", [node.get("const")]))
    if "anyOf" in node:
        parts = [_value(part) for part in node["anyOf"]]
        return st.one_of([part for part in parts if part is not None])
    match node.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(node.get("minimum"), node.get("maximum"))
        case "number":
            return _number(node)
        case "string" if "pattern" not in node:
            return _TEXT
        case "array" if "type" in node.get("items", {}) and "pattern" not in node["items"]:
            items = _value(node["items"])
            return None if items is None else st.lists(items, max_size=4)
    return None


def _number(node: dict[str, Any]) -> st.SearchStrategy[float]:
    low = node.get("exclusiveMinimum", node.get("minimum", 0.0))
    high = node.get("exclusiveMaximum", node.get("maximum", _LARGEST))
    return st.floats(
        low,
        high,
        exclude_min="exclusiveMinimum" in node,
        exclude_max="exclusiveMaximum" in node,
        allow_subnormal=False,
    )
