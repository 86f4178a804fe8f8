"""Read ``params.yaml`` into typed sections; unknown and mistyped keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.config.explanations import explain
from thaw.config.params import Params
from thaw.config.section import Section
from thaw.errors import ThawError

PARAMS_FILE = Path("params.yaml")

S = TypeVar("S", bound=Section)


def load(schema: type[S], path: Path = PARAMS_FILE) -> S:
    """Read ``path`` into ``schema``, which may name all or some of the top-level sections.

    Raises:
        ThawError: a line for each unknown, missing or mistyped key, with its full path.
    """
    content = _read(path)
    if schema is not Params:
        content = {key: content[key] for key in content if key in schema.model_fields}
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        lines = explain(error, schema)
        raise ThawError("\n".join(f"{path}: {line}" for line in lines)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ThawError(
            f"{path} is not in {Path.cwd()}: run thaw in the project's folder"
        ) from None
    except OSError as error:
        raise ThawError(f"{path} cannot be read: {error.strerror}") from None
    except (YAMLError, ValueError) as error:  # ValueError: !!int many, 2020-13-41, not UTF-8
        raise ThawError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ThawError(f"{path} must hold sections (key: value), but holds {content!r}")
    return content
