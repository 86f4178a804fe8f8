"""The file ``params.yaml`` of a project: its conversion to the parameters of the installed tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from thaw.config.editing import read_text, renamed_text, with_sections
from thaw.config.loading import read_content, validate
from thaw.config.params import Params
from thaw.config.renames import Rename, apply_renames
from thaw.projects.creation import template

if TYPE_CHECKING:
    from pathlib import Path


def converted_parameters(path: Path) -> tuple[str, list[Rename]]:
    """Return the text of ``params.yaml`` for the installed tool, and the parameters renamed in it.

    Comments and order stay. Sections that ``dvc.yaml`` needs and the file does not have are added:
    empty, or for ``seed`` the default. Nothing is written.

    Raises:
        ThawError: the file is missing or not valid.
    """
    renames = apply_renames(content := read_content(path))
    validate(Params, content, path)
    text = renamed_text(read_text(path))
    tracked = _tracked_sections()
    missing = [name for name in Params.model_fields if name in tracked and name not in content]
    return with_sections(
        text, {name: Params().seed if name == "seed" else {} for name in missing}
    ), renames


def _tracked_sections() -> set[str]:
    """Return the sections of ``params.yaml`` that a stage lists in ``dvc.yaml``."""
    stages = YAML(typ="safe").load(template("dvc.yaml.template"))["stages"].values()
    return {name for stage in stages for name in stage["params"] if isinstance(name, str)}
