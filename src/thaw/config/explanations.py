"""One line for each wrong parameter: its full path, what is expected, what was probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from thaw.config.parameter import section_type
from thaw.config.text_patterns import WORDS
from thaw.errors import printable
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

# How pydantic marks the types of a union within a location.
_TYPES = {
    "int", "constrained-int", "float", "constrained-float", "literal['auto']", "Range", "list[any]",
    "list[constrained-int]",
}  # fmt: skip
_KEY = "[key]"  # how pydantic marks that a key of a mapping is wrong, not its value
_LONGEST = 80  # characters of a value in a message
_MOST_LINES = 20


def explain(error: ValidationError, schema: type[BaseModel]) -> list[str]:
    """Return a line for each key of ``schema`` that ``error`` refuses; for many, the first ones."""
    problems = _by_key(error.errors(include_url=False))
    lines = [_line(problem, schema) for problem in problems[:_MOST_LINES]]
    if more := len(problems) - len(lines):
        lines.append(f"and {quantity(more, 'other problem')}")
    return lines


def shortened(value: Any) -> str:
    """Return ``value`` as text for a message, without the middle of a long value."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integers of more than 4,300 digits
        text = f"an integer of {value.bit_length():,} bits"
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2 - 2
    return f"{text[:half]}...{text[-half:]}"


def nearest_keys(key: str, schema: type[BaseModel]) -> list[str]:
    """Return the keys of ``schema`` that the unknown dotted ``key`` may mean; empty if none."""
    *sections, name = key.split(".")
    near = difflib.get_close_matches(name, _keys_at(schema, sections), n=1)
    if near:
        return [".".join([*sections, *near])]
    # the right name, or one near it, in another section
    known = _all_keys(schema)
    last = {key.rsplit(".", 1)[-1] for key in known}
    close = difflib.get_close_matches(name, sorted(last), n=1)
    return [key for key in known if close and key.rsplit(".", 1)[-1] == close[0]]


def _by_key(problems: list[Any]) -> list[Any]:
    """Merge the problems of a key: of a union, pydantic reports one for each of its types."""
    merged: dict[tuple[Any, ...], Any] = {}
    for problem in problems:
        location = tuple(part for part in problem["loc"] if part not in _TYPES)
        before = merged.get(location)
        if before is not None:
            expected = problem["msg"].removeprefix("Input should be ")
            problem = {**before, "msg": f"{before['msg']} or {expected}"}
        merged[location] = {**problem, "loc": location}
    # A problem within a value says more than that the value has not another type of the union.
    outer = {location[:length] for location in merged for length in range(1, len(location))}
    return [problem for location, problem in merged.items() if location not in outer]


def _line(problem: Any, schema: type[BaseModel]) -> str:
    location = [str(part) for part in problem["loc"] if part != _KEY]
    key, value = shortened_key(".".join(location)), problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"{key} is unknown{_hint(location, schema)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if value is None and key in schema.model_fields and section_type(schema.model_fields[key]):
        return f"{key} is empty: write `{key}: {{}}` where all of it is default"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    if problem["type"] == "string_pattern_mismatch":
        message = WORDS[problem["ctx"]["pattern"]]
    return f"{key}: {message}, but it is {shortened(value)}"


def shortened_key(key: str) -> str:
    """Return ``key`` for a message: not longer than a line, without control characters."""
    key = key if len(key) <= _LONGEST else f"{key[:_LONGEST]}..."
    return printable(key).replace("\n", r"\n")


def _hint(location: list[str], schema: type[BaseModel]) -> str:
    """Return what the unknown key at ``location`` may mean, as the end of a sentence."""
    name = location[-1]
    if len(name) > _LONGEST:  # difflib would take long, and find nothing
        return ""
    if name in _all_keys(schema) and "." in name:
        return "; write it as a section, with the keys indented below it"
    if meant := nearest_keys(".".join(location), schema):
        return f"; did you mean {' or '.join(meant)}?"
    # `thaw params` cannot list them as long as the file is wrong.
    known = ", ".join(_keys_at(schema, location[:-1]))
    where = f"the keys of {'.'.join(location[:-1])}" if location[1:] else "the sections and keys"
    return f"; {where} are {known}" if known else ""


def _keys_at(schema: type[BaseModel], location: list[str]) -> list[str]:
    for part in location:
        field = schema.model_fields.get(part)
        section = section_type(field) if field is not None else None
        if section is None:
            return []
        schema = section
    return list(schema.model_fields)


def _all_keys(schema: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in schema.model_fields.items():
        keys.append(prefix + name)
        if section := section_type(field):
            keys += _all_keys(section, f"{prefix}{name}.")
    return keys
