"""Refuse a ``dvc.yaml`` or ``thaw.lock`` that is damaged, before DVC or a stage reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.config.explanations import shortened
from thaw.errors import ThawError
from thaw.projects.creation import template
from thaw.system import tool_lock
from thaw.system.conflict_markers import conflict
from thaw.system.project_paths import PARAMS_FILE, PIPELINE, TOOL_LOCK
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESTORE = "restore it (`git checkout dvc.yaml`), or delete it and run `thaw upgrade`"
_RESTORE_MISSING = "restore it (`git checkout dvc.yaml`), or run `thaw upgrade`"
_UPGRADE = "`thaw upgrade`, which writes the stages of thaw and keeps your own"
_LISTS = {"params": ("params",), "deps": ("deps",), "outputs": ("outs", "metrics", "plots")}


def refuse_damaged() -> None:
    """Raise if ``dvc.yaml`` or ``thaw.lock`` is damaged, or if one of them is missing.

    A folder without both has parameters only, and is valid.

    Raises:
        ThawError: names the file, the place in it and the remedy.
    """
    if PIPELINE.exists() or TOOL_LOCK.exists():
        refuse_damaged_pipeline()
        for stage in STAGES:
            tool_lock.refuse_other_code(stage)


def refuse_damaged_pipeline() -> None:
    """Raise if ``dvc.yaml`` cannot be read, or lacks what it has for a stage of thaw.

    Stages and entries that the user has added are valid.

    Raises:
        ThawError: names the place in the file and the remedy.
    """
    stages = _read()["stages"]
    for name, shipped in YAML(typ="safe").load(template("dvc.yaml.template"))["stages"].items():
        if name not in stages:
            raise ThawError(f"{PIPELINE}: the stage {name} is missing: run {_UPGRADE}")
        stage = stages[name]
        command = stage.get("cmd")
        if not _runs(name, command):
            raise ThawError(
                f"{PIPELINE}: the command of the stage {name} is {shortened(command)}, and not "
                f"{shipped['cmd']!r}: run {_UPGRADE}"
            )
        for kind, keys in _LISTS.items():
            if lost := _names(shipped, keys) - _names(stage, keys):
                raise ThawError(
                    f"{PIPELINE}: the {kind} of the stage {name} lack {', '.join(sorted(lost))}: "
                    f"run {_UPGRADE}"
                )


def _read() -> dict[str, Any]:
    """Return the content of ``dvc.yaml``, which DVC accepts.

    Raises:
        ThawError: the file is missing, is no YAML, or has an entry that DVC refuses.
    """
    from dvc.schema import COMPILED_MULTI_STAGE_SCHEMA
    from voluptuous import Invalid

    text = ""
    try:
        text = PIPELINE.read_text(encoding="utf-8")
        content: dict[str, Any] = YAML(typ="safe").load(text)
        COMPILED_MULTI_STAGE_SCHEMA(content)
    except FileNotFoundError:
        raise ThawError(f"{PIPELINE} is missing: {_RESTORE_MISSING}") from None
    except (OSError, ValueError, YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ThawError(
            f"{PIPELINE} cannot be read{conflict(text)}: {reason}: {_RESTORE}"
        ) from None
    except Invalid as error:
        place = shortened(".".join(map(str, error.path))) if error.path else "the file"
        raise ThawError(
            f"{PIPELINE}: {place}: {error.msg}, so that DVC refuses it: {_RESTORE}"
        ) from None
    if not isinstance(content.get("stages"), dict):
        raise ThawError(f"{PIPELINE} has no stages: run {_UPGRADE}")
    return content


def _runs(name: str, command: object) -> bool:
    """Return whether ``command``, or one of several, runs the stage ``name``."""
    lines = command if isinstance(command, list) else [command]
    return any(re.search(rf"\bstage\s+{name}\s*$", str(line)) for line in lines)


def _names(stage: dict[str, Any], keys: Iterable[str]) -> set[str]:
    """Return the names in lists of ``stage``; ``file:key`` for a parameter of another file."""
    found = set()
    for entry in (entry for key in keys for entry in stage.get(key) or []):
        for name, value in entry.items() if isinstance(entry, dict) else [(entry, None)]:
            prefix = "" if name == str(PARAMS_FILE) else f"{name}:"
            inner = {f"{prefix}{each}" for each in value} if isinstance(value, list) else set()
            found |= inner or {str(name)}
    return found
