"""What is wrong with a parameter, in a line: its full path, what is expected, what it may mean."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic import ValidationError

# How pydantic marks the types of a union within a location.
_TYPES = {"int", "constrained-int", "literal['auto']", "Range", "list[any]"}


def explain(error: ValidationError, schema: type[BaseModel]) -> list[str]:
    """A line for each key of ``schema`` that ``error`` complains of."""
    return [_line(problem, schema) for problem in _by_key(error.errors())]


def _by_key(problems: list[Any]) -> list[Any]:
    """One problem a key: where a key takes two types, pydantic says what is wrong with each."""
    merged: dict[tuple[Any, ...], Any] = {}
    for problem in problems:
        location = tuple(part for part in problem["loc"] if part not in _TYPES)
        before = merged.get(location)
        if before is not None:
            expected = problem["msg"].removeprefix("Input should be ")
            problem = {**before, "msg": f"{before['msg']} or {expected}"}
        merged[location] = {**problem, "loc": location}
    return list(merged.values())


def _line(problem: Any, schema: type[BaseModel]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"{key} is unknown{_hint(location, schema)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{key}: {message}, but it is {problem['input']!r}"


def _hint(location: list[str], schema: type[BaseModel]) -> str:
    """What the unknown key at ``location`` may have been meant to be."""
    name, known = location[-1], _all_keys(schema)
    if name in known and "." in name:
        return "; write it as a section, with the keys indented below it"
    near = difflib.get_close_matches(name, _keys_at(schema, location[:-1]), n=1)
    meant = [".".join([*location[:-1], *near])] if near else []
    if not meant:  # the right key in the wrong section, or near one
        last = {key.rsplit(".", 1)[-1] for key in known}
        close = difflib.get_close_matches(name, sorted(last), n=1)
        meant = [key for key in known if close and key.rsplit(".", 1)[-1] == close[0]]
    return f"; did you mean {' or '.join(meant)}?" if meant else ""


def _keys_at(schema: type[BaseModel], location: list[str]) -> list[str]:
    for part in location:
        annotation = schema.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        schema = annotation
    return list(schema.model_fields)


def _all_keys(schema: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in schema.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _all_keys(field.annotation, f"{prefix}{name}.")
    return keys
