"""The file ``params.yaml`` of a project: its conversion to the parameters of the installed tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config.editing import renamed_text
from thaw.config.loading import read_content, validate
from thaw.config.params import Params
from thaw.config.renames import Rename, apply_renames

if TYPE_CHECKING:
    from pathlib import Path


def converted_parameters(path: Path) -> tuple[str, list[Rename]]:
    """Return the text of ``params.yaml`` for the installed tool, and the parameters renamed in it.

    Comments and order stay. Sections that ``dvc.yaml`` needs and the file does not have are added,
    empty.

    Raises:
        ThawError: the file is not valid.
    """
    renames = apply_renames(content := read_content(path))
    validate(Params, content, path)
    text = path.read_text(encoding="utf-8")
    missing = [name for name in Params.model_fields if name not in content]
    if renames:
        text = renamed_text(text)
    added = "".join(f"{name}: {{}}\n" for name in missing if name != "seed")
    if "seed" in missing:
        added += f"seed: {Params().seed}\n"
    separator = "" if not added or text.endswith("\n") else "\n"
    return text + separator + added, renames
