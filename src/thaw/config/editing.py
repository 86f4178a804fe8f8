"""Change values in ``params.yaml`` and nothing else: each decision is a small diff."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from thaw.config.comments import insert_key, lines_kept_after, remove_key, replace_value
from thaw.config.explanations import nearest_keys
from thaw.config.loading import PARAMS_FILE, load, validate
from thaw.config.parameter import section_type
from thaw.config.params import Params
from thaw.config.renames import Rename, find_renames
from thaw.config.values import value_of
from thaw.errors import ThawError
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel


class _Representer(RoundTripRepresenter):  # type: ignore[misc]
    """Writes every digit of a number: other YAML readers take ``1e-05`` for a string."""

    def represent_plain_float(self, value: float) -> Any:
        text = format(Decimal(repr(value)), "f")
        return self.represent_scalar(
            "tag:yaml.org,2002:float", text if "." in text else f"{text}.0"
        )


_Representer.add_representer(float, _Representer.represent_plain_float)


def write_values(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> list[str]:
    """Write ``values`` (by dotted key) into ``path`` and return the keys whose value changed.

    Comments, order, blank lines and line endings stay. A key that the file does not have is
    inserted into its section. A value that the file has already, or that is the default of a key
    that it does not have, leaves the file as it is.

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
    text = _read_text(path)
    yaml, document = _open(text)
    _rename(document, find_renames(document))
    for key, value in changed.items():
        _set(document, key.split("."), value, Params)
    _write(yaml, document, text, path)
    return list(changed)


def renamed_text(text: str) -> str:
    """Return the text of a ``params.yaml`` with its renamed parameters under their new names.

    Comments, order and line endings stay.
    """
    yaml, document = _open(text)
    _rename(document, find_renames(document))
    return _text_of(yaml, document, text)


def _read_text(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as stream:  # line endings as they are
        return stream.read()


def _open(text: str) -> tuple[YAML, CommentedMap]:
    """Return a writer in the style of ``text``, and its content with comments."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 1_000_000  # never wrap a line
    document = yaml.load(text.replace("\r\n", "\n"))
    indent, offset = _indentation(document)
    yaml.indent(mapping=indent, sequence=offset + 2, offset=offset)
    return yaml, document


def _indentation(document: CommentedMap) -> tuple[int, int]:
    """Return the indentation of sections, and of the dashes of lists below their key."""
    indents, offsets = [], []
    for section in document.values():
        if not isinstance(section, CommentedMap) or section.fa.flow_style():
            continue
        for name, value in section.items():
            column = section.lc.key(name)[1]
            indents.append(column)
            if isinstance(value, CommentedSeq) and value and not value.fa.flow_style():
                offsets.append(value.lc.item(0)[1] - len("- ") - column)
    return min(indents, default=2), min(offsets, default=0)


def _write(yaml: YAML, document: CommentedMap, before: str, path: Path) -> None:
    """Write ``document``, if it is valid, in the style of the text ``before``."""
    text = _text_of(yaml, document, before)
    validate(Params, YAML(typ="safe").load(text), path)
    write_whole(path, text.encode())


def _text_of(yaml: YAML, document: CommentedMap, before: str) -> str:
    """Return ``document`` as text with the line endings of the text ``before``."""
    stream = io.StringIO()
    yaml.dump(document, stream)
    text = stream.getvalue()
    if "\r\n" in before:
        text = text.replace("\n", "\r\n")
    return text if before.endswith("\n") else text.rstrip("\r\n")


def _set(section: CommentedMap, keys: list[str], value: Any, schema: type[BaseModel]) -> None:
    """Set the value at the path ``keys`` below ``section``, which has the type ``schema``."""
    name, *rest = keys
    order = list(schema.model_fields)
    if rest:
        if name not in section:
            insert_key(section, name, CommentedMap(), order)
        inner = section_type(schema.model_fields[name])
        assert inner is not None
        with lines_kept_after(section, name):
            section[name].fa.set_block_style()  # `augment: {}` becomes a block
            _set(section[name], rest, value, inner)
    elif name in section:
        replace_value(section, name, _styled(value, section[name]))
    else:
        insert_key(section, name, _styled(value, None), order)


def _rename(document: CommentedMap, renames: list[Rename]) -> None:
    for old, new in renames:
        section, name = old.split(".")
        with lines_kept_after(document, section):
            value, comment = remove_key(document[section], name)
            if not document[section]:
                document[section].fa.set_flow_style()
        section, name = new.split(".")
        _set(document, [section, name], value, Params)
        if comment:
            document[section].ca.items[name] = comment


def _styled(value: Any, before: Any) -> Any:
    """Return ``value`` in the style of the value before: lists in block or flow form.

    A new list has the block form, as DVC writes it.
    """
    if isinstance(value, list):
        node = CommentedSeq(_styled(item, None) for item in value)
        is_flow = isinstance(before, CommentedSeq) and before and before.fa.flow_style()
        if is_flow or not value:
            node.fa.set_flow_style()
        return node
    if isinstance(value, dict):
        return CommentedMap({key: _styled(item, None) for key, item in value.items()})
    return value


def _equal(first: Any, second: Any) -> bool:
    """Return whether two values are equal; True is not 1, but 1.0 is."""
    return first == second and isinstance(first, bool) == isinstance(second, bool)


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
