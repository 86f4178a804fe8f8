"""Which values of the parameters can change a result, as dictionary, text and digest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from thaw.config.parameter import parameters
from thaw.config.renames import original_name
from thaw.config.section import AUTO

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from thaw.config.params import Params
    from thaw.config.section import Section

# Sections that cannot change a result: where it is logged, promoted and searched, how fast it runs.
WITHOUT_EFFECT = frozenset({"promote", "search", "tracking", "resources"})
KEYS_WITHOUT_EFFECT = frozenset({"prepare.shard_mb"})  # in other sections

_PLACES = ("data.source", "data.path", "data.root")
_OF_INIT = {"prepare.jpeg_pixels": "all"}  # besides those that are ``auto``
# Keys and sections in the order in which people vary them; "" stands for all others.
_VARIED = (
    "seed",
    "backbone.name",
    "unfreeze.depth",
    "unfreeze.blocks",
    "unfreeze",
    "head",
    "warmup_head",
    "fold_bn",
    "regularize",
    "augment",
    "backbone",
    "",
)
# Names that say nothing without their section.
_NAMES = {key: key for key in ("data.source", "data.path", "data.root")} | {
    "backbone.name": "backbone"
}
_LONGEST = 100  # characters of a value in changed_text


def result_digest(params: Params) -> str:
    """Return the SHA-256 of every value that can change a pipeline's result."""
    content = json.dumps(result_values(params), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def result_values(params: Section, sections: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the values by dotted key that can change a result and are not neutral.

    ``params`` is all of ``params.yaml`` or the inputs of a stage; ``sections`` are top-level keys,
    by default all. A neutral value is the default that a parameter had at its introduction: it is
    left out, so that a new parameter with a default changes no digest. A renamed parameter has its
    first name for the same reason.
    """
    wanted = set(type(params).model_fields if sections is None else sections)
    content = params.model_dump()
    return {
        original_name(parameter.key): value
        for parameter in parameters(type(params))
        if parameter.key.split(".")[0] in wanted
        and _has_effect(parameter.key)
        and (value := value_of(content, parameter.key)) != parameter.neutral
    }


def differing(params: Section) -> dict[str, Any]:
    """Return the values by dotted key that differ from the defaults."""
    defaults = type(params)().model_dump()
    content = params.model_dump()
    return {
        parameter.key: value
        for parameter in parameters(type(params))
        if (value := value_of(content, parameter.key)) != value_of(defaults, parameter.key)
    }


def changed_text(params: Section, first: Collection[str] = ()) -> str:
    """Return the values that can change a result and differ from the defaults, on one line.

    The column of the runs table shows about ten characters. The keys ``first`` come first, also
    with their defaults (short names before long ones), then what people vary most. Where the data
    is and what `thaw init` writes come last: they are the same in most runs of a project.
    """
    values, changed = params.model_dump(), differing(params)
    found = {
        parameter.key: value_of(values, parameter.key)
        for parameter in parameters(type(params))
        if _has_effect(parameter.key) and (parameter.key in changed or parameter.key in first)
    }
    last = [
        key
        for key, value in found.items()
        if key not in first and (value == AUTO or key in _PLACES or _OF_INIT.get(key) == value)
    ]
    names = _short_names(type(params))

    def order(key: str) -> tuple[bool, bool, int]:
        return key not in first, key in first and "." in names[key], _rank(key)

    varied = sorted((key for key in found if key not in last), key=order)
    return ", ".join(f"{names[key]}={str(found[key])[:_LONGEST]}" for key in [*varied, *last])


def _rank(key: str) -> int:
    """Return the place of ``key`` among what people vary, most often first."""
    starts = (start for start in _VARIED if f"{key}.".startswith(f"{start}."))
    return _VARIED.index(next(starts, ""))


def _short_names(kind: type[Section]) -> dict[str, str]:
    """Return the last part of each dotted key; the whole key where other sections have it too."""
    keys = [parameter.key for parameter in parameters(kind)]
    count = Counter(key.rpartition(".")[2] for key in keys)
    last = {key: key.rpartition(".")[2] for key in keys}
    short = {key: name if count[name] == 1 else key for key, name in last.items()}
    return short | _NAMES


def result_parameters(params: Section) -> dict[str, str]:
    """Return the values by dotted key that can change a result, as text."""
    return {key: value for key, value in flatten(params).items() if _has_effect(key)}


def _has_effect(key: str) -> bool:
    return key.split(".")[0] not in WITHOUT_EFFECT and key not in KEYS_WITHOUT_EFFECT


def flatten(params: Section) -> dict[str, str]:
    """Return all values by dotted key as text, which is how MLflow keeps parameters."""
    flat: dict[str, str] = {}

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = str(value)

    add("", params.model_dump())
    return flat


def value_of(content: dict[str, Any], key: str) -> Any:
    """Return the value at the dotted ``key`` of nested dictionaries.

    Raises:
        KeyError: there is no such key.
    """
    value: Any = content
    for part in key.split("."):
        value = value[part]
    return value
