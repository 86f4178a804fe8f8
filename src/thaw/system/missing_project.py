"""The message for a folder that is not a project; it names the project around the folder."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from thaw.system.project_paths import PARAMS_FILE, TOOL_LOCK

if TYPE_CHECKING:
    from pathlib import Path


def surrounding_project(folder: Path) -> Path | None:
    """Return the project in whose subfolder ``folder`` is, None if there is none."""
    for above in folder.resolve().parents:  # of "../new", which is beside this folder
        if (above / PARAMS_FILE).is_file() and (above / TOOL_LOCK).is_file():
            return above
    return None


def explain_missing_project(folder: Path, *, is_model_wanted: bool = False) -> str:
    """Return the message that ``folder`` is not a project, with what to do.

    Where a verb only reads a registered model (``is_model_wanted``), naming the registry is enough.
    """
    folder = folder.absolute()
    text = f"{folder} is not a project of thaw (it has no {PARAMS_FILE})"
    if (above := surrounding_project(folder)) is not None:
        return f"{text}, but {above} is one: `cd {shlex.quote(str(above))}`"
    ways = ["change to the folder of a project", "create one with `thaw init DIR`"]
    if is_model_wanted:
        ways.append("set MLFLOW_TRACKING_URI to the address of the registry")
    return f"{text}: {', '.join(ways[:-1])}, or {ways[-1]}"
