"""Change values in ``params.yaml`` and nothing else: each decision is a small diff."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ruamel.yaml.error import YAMLError

from thaw.config.explanations import nearest_keys
from thaw.config.loading import content_of, load, validate
from thaw.config.parameter import parameters, section_type
from thaw.config.params import Params
from thaw.config.renames import Rename, apply_renames, has_key, renamed_value
from thaw.config.result_values import value_of
from thaw.config.yaml_edits import loaded, remove_value, set_scalars, set_value
from thaw.config.yaml_entries import fragment, insert, put_raw, raw_fragment
from thaw.config.yaml_tree import parse
from thaw.errors import ThawError
from thaw.system.files import resolved, write_whole
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel

_MOST_ROUNDS = 5  # of values that follow another one through an anchor


def write_values(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> list[str]:
    """Write ``values`` (by dotted key) into ``path`` and return the keys whose value changed.

    All other characters stay. A key that the file does not have is inserted into its section. A
    value that the file has already, or that is the default of a key that it does not have, leaves
    the file as it is. Values that refer to a changed one by an alias keep theirs.

    Raises:
        ThawError: there is no such parameter, or the result is not valid; nothing is written then.
    """
    before = load(Params, path).model_dump()
    for key in values:
        _require_parameter(key, path)
    changed = {
        key: value for key, value in values.items() if not _equal(value_of(before, key), value)
    }
    if not changed:
        return []
    text = renamed_text(read_text(path))
    wanted = copy.deepcopy(content_of(text, path))
    for key, value in changed.items():
        _put(wanted, key.split("."), value)
    try:
        text, done = set_scalars(text, changed)
        for key in (key for key in changed if key not in done):
            text = _set(text, key, changed[key])
        text = _repaired(text, wanted)
    except (YAMLError, LookupError, ValueError):  # a form that the edits do not know
        raise ThawError(_not_in_place(", ".join(changed))) from None
    validate(Params, content_of(text, path), path)
    write_whole(resolved(path), text.encode())
    return list(changed)


def written(changed: Sequence[str]) -> str:
    """Return the message about the ``changed`` keys of ``params.yaml``, with the next command."""
    if not changed:
        has = f"{PARAMS_FILE} has these values already"
        return f"{has}: `dvc repro` trains with them, if it has not yet"
    return f"written into {PARAMS_FILE}: {', '.join(changed)}. `dvc repro` trains with them"


def read_text(path: Path) -> str:
    """Return the text of ``path`` with its line endings as they are."""
    with path.open(encoding="utf-8", newline="") as stream:
        return stream.read()


def renamed_text(text: str) -> str:
    """Return the text of a ``params.yaml`` with its renamed parameters under their new names.

    All other characters stay.

    Raises:
        ThawError: it is not a YAML mapping, or its form does not allow it.
    """
    wanted = content_of(text)
    renames = apply_renames(wanted)
    if not renames:
        return text
    try:
        for rename in renames:
            text = _moved(text, rename)
        return _repaired(text, wanted)
    except (YAMLError, LookupError, ValueError):  # a form that the edits do not know
        raise ThawError(_not_in_place(", ".join(rename.old for rename in renames))) from None


def with_sections(text: str, content: Mapping[str, Any]) -> str:
    """Return the text of a ``params.yaml`` with new top-level entries at its end."""
    for name, value in content.items():
        text = insert(text, parse(text), name, fragment(text, name, value))
    return text


def _set(text: str, key: str, value: Any) -> str:
    return set_value(text, key.split("."), value, _orders(key))


def _orders(key: str) -> list[list[str]]:
    """Return, for each part of the dotted ``key``, all names on its level as they are declared."""
    orders: list[list[str]] = []
    schema: type[BaseModel] = Params
    for part in key.split("."):
        orders.append(list(schema.model_fields))
        schema = section_type(schema.model_fields[part]) or schema
    return orders


def _moved(text: str, rename: Rename) -> str:
    """Return ``text`` with the value of a renamed parameter at its new place."""
    old, new = rename.old.split("."), rename.new.split(".")
    raw = raw_fragment(text, old, new[-1])
    value = loaded(text, old)
    text = _set(remove_value(text, old), rename.new, value)
    text = put_raw(text, new, raw) if raw else text
    wanted = renamed_value(rename.old, value)
    return text if wanted == value else _set(text, rename.new, wanted)


def _repaired(text: str, wanted: dict[str, Any]) -> str:
    """Return ``text`` with the ``wanted`` content.

    An edit of a value with an anchor also changes those that refer to it: they get their own.

    Raises:
        ValueError: that is not possible.
    """
    expected = _effective(wanted)
    for _ in range(_MOST_ROUNDS):
        for section in _with_foreign_keys(loaded(text), wanted):
            text = _without_alias(text, section, wanted[section])
        found = _effective(loaded(text))
        wrong = [key for key, value in expected.items() if not _equal(found[key], value)]
        if not wrong:
            return text
        for key in wrong:
            text = _set(text, key, expected[key])
    raise ValueError(wrong[0])


def _with_foreign_keys(content: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the sections of ``content`` that got keys by an alias which they may not have."""
    return [
        name
        for name, value in content.items()
        if isinstance(value, dict) and not value.keys() <= wanted[name].keys()
    ]


def _without_alias(text: str, section: str, values: dict[str, Any]) -> str:
    """Return ``text`` with ``values`` in ``section`` instead of an alias."""
    with suppress(KeyError):
        text = remove_value(text, [section, "<<"])
    return set_value(text, [section], values, [list(Params.model_fields)])


def _effective(content: dict[str, Any]) -> dict[str, Any]:
    """Return the values of all parameters by dotted key; the default where there is none."""
    return {
        parameter.key: value_of(content, parameter.key)
        if has_key(content, parameter.key)
        else parameter.default
        for parameter in parameters(Params)
    }


def _put(content: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    *sections, name = keys
    for section in sections:
        # A copy: an alias gives several sections the same mapping.
        content[section] = dict(content.get(section) or {})
        content = content[section]
    content[name] = value


def _equal(first: Any, second: Any) -> bool:
    """Return whether two values are equal; True is not 1, but 1.0 is."""
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _not_in_place(key: str) -> str:
    return f"{PARAMS_FILE}: {key} cannot be changed in place: change it in an editor"


def _require_parameter(key: str, path: Path) -> None:
    schema: type[BaseModel] = Params
    *sections, name = key.split(".")
    for part in sections:
        field = schema.model_fields.get(part)
        section = section_type(field) if field is not None else None
        if section is None:
            raise _unknown(key, path)
        schema = section
    if name not in schema.model_fields or section_type(schema.model_fields[name]):
        raise _unknown(key, path)


def _unknown(key: str, path: Path) -> ThawError:
    near = nearest_keys(key, Params)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return ThawError(f"{path}: there is no parameter {key}{hint}")
