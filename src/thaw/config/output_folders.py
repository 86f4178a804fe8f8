"""Refuse output folders in which DVC or a stage would remove or replace files of the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.system.project_paths import DEPLOYED, MODELS, PIPELINE, PREPARED, REPORTS
from thaw.system.stage_names import STAGES, TRAINING_STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS = (
    PREPARED,
    *(MODELS / stage for stage in TRAINING_STAGES),
    MODELS / "fold_bn/affine",
    DEPLOYED,
    REPORTS,
    *(REPORTS / stage for stage in STAGES),
    REPORTS / "evaluate/plots",
)
_OUTPUTS = ("outs", "metrics", "plots")


def refuse_links() -> None:
    """Raise if a folder of outputs, or a folder of the project around it, is a link.

    DVC and the stages would remove and replace files in the folder that the link leads to.

    Raises:
        ThawError: a line for each link.
    """
    folders = {part: None for folder in FOLDERS for part in (folder, *folder.parents)}
    lines = [
        f"{folder} is a link to {os.path.realpath(folder)}, and stages and DVC replace files "
        "there: replace the link by a folder (data.path may be a link, and DVC's cache.dir "
        "and cache.type symlink keep large files on another disk)"
        for folder in sorted(folders)
        if folder.is_symlink()
    ]
    if lines:
        raise ThawError("\n".join(lines))


def refuse_listed_folders(pipeline: Path = PIPELINE) -> None:
    """Raise if a stage of thaw in ``dvc.yaml`` lists a folder as output, as in thaw 0.1.

    A file that DVC cannot read either is not refused here: DVC names the mistake.

    Raises:
        ThawError: names the folders and the command that converts the file.
    """
    around = {part for folder in FOLDERS for part in (folder, *folder.parents)}
    listed = [path for path in _listed(pipeline) if Path(path) in around]
    if listed:
        raise ThawError(
            f"{pipeline} lists folders as outputs ({', '.join(listed)}), and DVC removes all files "
            "in them before a stage runs: run `thaw upgrade` first"
        )


def _listed(pipeline: Path) -> Iterator[str]:
    """Yield the outputs of thaw's stages in the file ``pipeline``."""
    try:
        content: Any = YAML(typ="safe").load(pipeline.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError, RecursionError):
        return
    stages = content.get("stages") if isinstance(content, dict) else None
    for name in STAGES:
        stage = stages.get(name) if isinstance(stages, dict) else None
        for kind in _OUTPUTS:
            entries = stage.get(kind) if isinstance(stage, dict) else None
            for entry in entries if isinstance(entries, list) else []:
                yield from map(str, entry if isinstance(entry, dict) else [entry])
