"""The declaration of a parameter, and the iteration over all declared parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_SAME_AS_DEFAULT = object()


class Parameter(NamedTuple):
    """A declared parameter: its dotted key and its declaration."""

    key: str
    field: FieldInfo

    @property
    def default(self) -> Any:
        """Return the value that a file without this key has."""
        return self.field.get_default(call_default_factory=True)

    @property
    def neutral(self) -> Any:
        """Return the value that is left out of digests: the default at introduction."""
        recorded = self._extra.get("x-neutral", _SAME_AS_DEFAULT)
        return self.default if recorded is _SAME_AS_DEFAULT else recorded

    @property
    def description(self) -> str:
        """Return what the parameter does."""
        return self.field.description or ""

    @property
    def unit(self) -> str:
        """Return the unit of the value; empty for names and plain numbers."""
        return str(self._extra.get("x-unit", ""))

    @property
    def source(self) -> str:
        """Return the paper or the reason behind the parameter; empty where there is none."""
        return str(self._extra.get("x-source", ""))

    @property
    def _extra(self) -> dict[str, Any]:
        extra = self.field.json_schema_extra
        return extra if isinstance(extra, dict) else {}


def parameter(
    default: Any,
    description: str,
    *,
    unit: str = "",
    source: str = "",
    neutral: Any = _SAME_AS_DEFAULT,
) -> Any:
    """Declare a parameter of a section; its annotation gives type and range.

    When a default changes, the default at introduction must be given as ``neutral``. Digests leave
    neutral values out, so that a new parameter changes no digest, but a changed default does.
    """
    extra: dict[str, Any] = {"x-unit": unit, "x-source": source}
    extra = {name: text for name, text in extra.items() if text}
    if neutral is not _SAME_AS_DEFAULT:
        extra["x-neutral"] = neutral
    return Field(default, description=description, json_schema_extra=extra)


def parameters(schema: type[BaseModel], prefix: str = "") -> Iterator[Parameter]:
    """Yield every parameter of ``schema`` and of its sections, in the order of declaration."""
    for name, field in schema.model_fields.items():
        section = section_type(field)
        if section is None:
            yield Parameter(prefix + name, field)
        else:
            yield from parameters(section, f"{prefix}{name}.")


def section_type(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that ``field`` holds, or None where it holds a value."""
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None
