"""The file ``dvc.yaml`` of a project: its conversion to the stages of the installed tool."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.projects.creation import template
from thaw.system.project_paths import PARAMS_FILE, TOOL_LOCK
from thaw.system.stage_names import STAGES, TRAINING_STAGES

_EARLIER_PLOTS = {f"{stage} loss" for stage in TRAINING_STAGES}  # of thaw 0.1
_OF_THAW = ("stages", "plots", "artifacts")  # entries of the template
# Entries of thaw's stages, and where their dependencies are, in this or an earlier version.
_OF_STAGES = {"cmd", "params", "deps", "outs", "metrics", "plots"}
_PLACES = ("src/thaw/", "data/prepared", "models/", "reports/", "${")


def converted_pipeline(path: Path) -> str:
    """Return the text of ``dvc.yaml`` for the installed tool.

    What the user has added to the file ``path`` stays: stages and other entries, and in the stages
    of thaw entries such as ``frozen``, dependencies, and parameters in other files.

    Raises:
        ThawError: the file is not a DVC pipeline.
    """
    text = template("dvc.yaml.template")
    if not path.exists():
        return text
    content = _read(path)
    yaml = YAML()
    yaml.width = 100
    merged = yaml.load(text)
    own = {name: stage for name, stage in content["stages"].items() if name not in STAGES}
    plots = _own_plots(content, merged["plots"])
    artifacts = _own_artifacts(content, merged["artifacts"])
    others = {key: value for key, value in content.items() if key not in _OF_THAW}
    is_extended = [_extend(merged["stages"][name], content["stages"].get(name)) for name in STAGES]
    if not own and not plots and not artifacts and not others and not any(is_extended):
        return text
    merged["stages"].update(own)
    merged["plots"].extend(plots)
    merged["artifacts"].update(artifacts)
    merged.update(others)
    stream = StringIO()
    yaml.dump(merged, stream)
    return stream.getvalue()


def _extend(shipped: dict[str, Any], found: object) -> bool:
    """Add to a stage of thaw what the user has added to it; return whether that is anything."""
    if not isinstance(found, dict):
        return False
    entries = {key: value for key, value in found.items() if key not in _OF_STAGES}
    deps = [
        each
        for each in _listed(found, "deps")
        if isinstance(each, str) and each not in shipped["deps"] and not each.startswith(_PLACES)
    ]
    params = [
        {file: keys}
        for each in _listed(found, "params")
        if isinstance(each, dict)
        for file, keys in each.items()
        if Path(str(file)) not in {TOOL_LOCK, PARAMS_FILE}
    ]
    shipped.update(entries)
    shipped["deps"].extend(deps)
    shipped["params"].extend(params)
    return bool(entries or deps or params)


def _listed(stage: dict[str, Any], key: str) -> list[Any]:
    found = stage.get(key)
    return found if isinstance(found, list) else []


def _own_plots(content: dict[str, Any], shipped: list[dict[str, Any]]) -> list[Any]:
    """Return the plots that the user has added."""
    found = content.get("plots")
    listed = [{name: found[name]} for name in found] if isinstance(found, dict) else found or []
    names = {name for plot in shipped for name in plot} | _EARLIER_PLOTS
    return [each for each in listed if names.isdisjoint([each] if isinstance(each, str) else each)]


def _own_artifacts(content: dict[str, Any], shipped: dict[str, Any]) -> dict[str, Any]:
    """Return the artifacts that the user has added or changed."""
    found = content.get("artifacts")
    if not isinstance(found, dict):  # DVC refuses other types
        return {}
    return {name: entry for name, entry in found.items() if entry != shipped.get(name)}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML().load(path.read_text(encoding="utf-8"))
        if isinstance(content["stages"], dict):
            found: dict[str, Any] = content
            return found
    except (OSError, ValueError, YAMLError, KeyError, TypeError, RecursionError):
        pass
    raise ThawError(f"{path} is not a pipeline of DVC with stages: repair it, or delete it")
