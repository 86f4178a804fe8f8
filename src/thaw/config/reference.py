"""Reference of the parameters: value, default, range, unit, meaning and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.config.explanations import nearest_keys
from thaw.config.parameter import parameters
from thaw.config.params import Params
from thaw.config.result_values import value_of
from thaw.config.schema import parameter_schema, range_text
from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class ParameterReference:
    """A parameter with its value in a project."""

    key: str
    value: Any
    default: Any
    range: str
    unit: str
    meaning: str
    source: str

    @property
    def is_changed(self) -> bool:
        """Return whether the value differs from the default."""
        return bool(self.value != self.default)


def describe(params: Params, key: str = "") -> list[ParameterReference]:
    """Return the parameter ``key``, all of the section ``key``, or all parameters.

    Raises:
        ThawError: there is no such parameter or section.
    """
    found = [
        parameter
        for parameter in parameters(Params)
        if not key or parameter.key == key or parameter.key.startswith(f"{key}.")
    ]
    if not found:
        near = nearest_keys(key, Params)
        hint = f"did you mean {' or '.join(near)}?" if near else "`thaw params` lists them"
        raise ThawError(f"there is no parameter {key}; {hint}")
    values, defaults = params.model_dump(), Params().model_dump()
    return [
        ParameterReference(
            key=parameter.key,
            value=value_of(values, parameter.key),
            default=value_of(defaults, parameter.key),
            range=range_text(parameter_schema(parameter.key)),
            unit=parameter.unit,
            meaning=parameter.description,
            source=parameter.source,
        )
        for parameter in found
    ]


def overview(references: Sequence[ParameterReference]) -> str:
    """Return a line per parameter: key, value, and the default where the value differs."""
    width = max(len(reference.key) for reference in references)
    return "\n".join(
        f"{reference.key:{width}}  {as_text(reference.value)}"
        + (f"  (default: {as_text(reference.default)})" if reference.is_changed else "")
        for reference in references
    )


def details(reference: ParameterReference) -> str:
    """Return everything about one parameter, a line per fact."""
    facts = {
        "default": as_text(reference.default),
        "range": reference.range,
        "unit": reference.unit,
        "meaning": reference.meaning,
        "source": reference.source,
    }
    lines = [f"{reference.key}: {as_text(reference.value)}"]
    return "\n".join([*lines, *(f"  {name}: {text}" for name, text in facts.items() if text)])


def as_text(value: Any) -> str:
    """Return ``value`` as ``params.yaml`` has it, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(as_text(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_text(item)}" for key, item in value.items()) + "}"
    return '""' if value == "" else str(value)
