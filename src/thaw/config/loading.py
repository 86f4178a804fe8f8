"""Read ``params.yaml`` into typed sections; refuse what is unknown, mistyped or cannot work."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from thaw.config.combinations import impossible_combinations
from thaw.config.explanations import explain, shortened
from thaw.config.params import Params
from thaw.config.renames import apply_renames
from thaw.config.section import Section
from thaw.config.yaml_limits import MOST_CHARACTERS, excess
from thaw.errors import ThawError
from thaw.system.console import warn
from thaw.system.project_paths import PARAMS_FILE

_LONGEST = 500  # characters of a message of the YAML parser
_REMEDY = "correct this line or the one above it"  # a missing colon is noticed a line later

S = TypeVar("S", bound=Section)


def load(schema: type[S], path: Path = PARAMS_FILE) -> S:
    """Read ``path`` into ``schema``, which has all or some of the top-level sections.

    Sections and keys that the file does not have get their defaults. Where ``schema`` has some of
    the sections only, the others are not checked.

    Raises:
        ThawError: a line for each unknown, mistyped or out-of-range key, with its full path, or
            for each combination of values that cannot work.
    """
    content = read_content(path)
    for old, new in _renamed(content, path):
        _warn_once(f"{path}: {old} was renamed to {new}: `thaw upgrade` renames it in the file")
    return validate(schema, content, path)


def validate(schema: type[S], content: dict[str, Any], path: Path = PARAMS_FILE) -> S:
    """Return ``content``, which was read from ``path``, as ``schema``; see ``load``.

    Raises:
        ThawError: as for ``load``.
    """
    if schema is not Params:
        content = {key: content[key] for key in content if key in schema.model_fields}
        content = {**_default_sections(schema), **content}
    try:
        loaded = schema.model_validate(content)
    except ValidationError as error:
        raise _refusal(path, explain(error, schema)) from None
    if isinstance(loaded, Params) and (problems := impossible_combinations(loaded)):
        raise _refusal(path, problems)
    return loaded


def read_content(path: Path) -> dict[str, Any]:
    """Return the content of the YAML file ``path``, not yet checked.

    Raises:
        ThawError: the file is missing, cannot be read, or is not a YAML mapping.
    """
    if path.is_fifo() or path.is_socket() or path.is_char_device():
        raise ThawError(f"{path} cannot be read: it is not a file; put a file in its place")
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(MOST_CHARACTERS + 1)
    except FileNotFoundError:
        raise ThawError(
            f"{path} is not in {Path.cwd()}: run thaw in the project's folder"
        ) from None
    except OSError as error:
        raise ThawError(
            f"{path} cannot be read: {error.strerror}; it must be a file that this user may read"
        ) from None
    except ValueError as error:
        raise ThawError(f"{path} is not UTF-8 text: {error}") from None
    return content_of(text, path)


def content_of(text: str, path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Return the content of ``text``, that of the YAML file ``path``, not yet checked.

    Raises:
        ThawError: it is not a YAML mapping.
    """
    if reason := excess(text):
        raise ThawError(f"{path}: {reason}")
    try:
        content = YAML(typ="safe").load(text)
    except (YAMLError, ValueError) as error:  # ValueError: !!int many, 2020-13-41
        raise ThawError(f"{path} is not valid YAML: {_fault(error)}") from None
    if not isinstance(content, dict):
        held = shortened(content)
        raise ThawError(f"{path} must hold sections (key: value), but holds {held}")
    return content


def _renamed(content: dict[str, Any], path: Path) -> list[tuple[str, str]]:
    try:
        return [(old, new) for old, new in apply_renames(content)]
    except ThawError as error:
        raise _refusal(path, [str(error)]) from None


def _default_sections(schema: type[Section]) -> dict[str, Any]:
    """Return the defaults of the sections that ``schema`` shares with ``Params``."""
    return {
        key: Params.model_fields[key].get_default(call_default_factory=True)
        for key in schema.model_fields
        if key in Params.model_fields
    }


def _refusal(path: Path, lines: list[str]) -> ThawError:
    return ThawError("\n".join(f"{path}: {line}" for line in lines))


@cache
def _warn_once(line: str) -> None:
    warn(line)


def _fault(error: YAMLError | ValueError) -> str:
    """Return where the text is not valid YAML, and why."""
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    if not isinstance(error, MarkedYAMLError) or mark is None or not error.problem:
        return " ".join(str(error).split())[:_LONGEST]
    said = error.problem
    if said.startswith("but "):  # the second half of a sentence
        said = f"{error.context}, {said}"
    problem = " ".join(said.split())[:_LONGEST]
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}: {_REMEDY}"
