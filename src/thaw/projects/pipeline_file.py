"""The file ``dvc.yaml`` of a project: its conversion to the stages of the installed tool."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.projects.creation import template
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path


def converted_pipeline(path: Path) -> str:
    """Return the text of ``dvc.yaml`` for the installed tool.

    Stages and other entries that the user has added to the file ``path`` stay.

    Raises:
        ThawError: the file is not a DVC pipeline.
    """
    text = template("dvc.yaml.template")
    if not path.exists():
        return text
    content = _read(path)
    own = {name: stage for name, stage in content["stages"].items() if name not in STAGES}
    others = {key: value for key, value in content.items() if key not in {"stages", "plots"}}
    if not own and not others:
        return text
    yaml = YAML()
    yaml.width = 100
    merged = yaml.load(text)
    merged["stages"].update(own)
    merged.update(others)
    stream = StringIO()
    yaml.dump(merged, stream)
    return stream.getvalue()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML().load(path.read_text(encoding="utf-8"))
        if isinstance(content["stages"], dict):
            found: dict[str, Any] = content
            return found
    except (OSError, ValueError, YAMLError, KeyError, TypeError):
        pass
    raise ThawError(f"{path} is not a pipeline of DVC with stages: repair it, or delete it")
