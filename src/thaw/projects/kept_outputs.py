"""Outputs of earlier code that a project keeps: which ones DVC may accept, and their acceptance."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from thaw.errors import ThawError
from thaw.system.project_paths import DVC_LOCK, PARAMS_FILE, PIPELINE, TOOL_LOCK
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

_INPUTS = "changed deps"  # of `dvc status`: files and parameters
_KINDS = (_INPUTS, "changed outs")
_CODE = ("src/thaw/", str(TOOL_LOCK))


def stages_to_keep() -> tuple[list[str], dict[str, str]]:
    """Return the stages whose outputs may be kept, and for each other stage why not.

    Outputs may be kept if nothing but the code of thaw has changed since DVC recorded them. Where a
    parameter, an input or an output differs too, they are not the result of what the project says
    now; the reason names what differs: ``params.yaml: unfreeze.lr (modified)``. DVC compares the
    stages in ``dvc.yaml`` only.

    Raises:
        ThawError: DVC fails.
    """
    if not DVC_LOCK.exists():
        return [], dict.fromkeys(STAGES, "DVC has recorded no output")
    reasons = {stage: ", ".join(found) for stage, found in _changes().items()}
    kept = [stage for stage, reason in reasons.items() if not reason]
    return kept, {stage: reason for stage, reason in reasons.items() if reason}


def modified_stages() -> dict[str, str]:
    """Return the stages with another parameter or other images than ``dvc.lock`` names, and which.

    Outputs of stages do not count: an upgrade that was stopped has converted them.

    Raises:
        ThawError: DVC fails.
    """
    changes = _changes((_INPUTS,)) if DVC_LOCK.exists() else {}
    modified = {
        stage: ", ".join(
            change
            for change in found
            if change.endswith("(modified)")
            and (stage == STAGES[0] or change.startswith(f"{PARAMS_FILE}:"))
        )
        for stage, found in changes.items()
    }
    return {stage: reason for stage, reason in modified.items() if reason}


def _changes(kinds: tuple[str, ...] = _KINDS) -> dict[str, list[str]]:
    """Return for each stage what differs from ``dvc.lock`` beside the code: "a.csv (modified)"."""
    present = _stages_in_pipeline()
    # By their names: for imports of the user, DVC would ask the repositories that they come from.
    status: dict[str, Any] = json.loads(run_dvc("status", "--json", *present)) if present else {}
    return {
        stage: _items(status.get(stage, []), kinds)
        if stage in present
        else [f"{PIPELINE} has no {stage}"]
        for stage in STAGES
    }


def _stages_in_pipeline() -> list[str]:
    if not PIPELINE.exists():
        return []
    stages = YAML(typ="safe").load(PIPELINE.read_text(encoding="utf-8"))["stages"]
    return [stage for stage in STAGES if stage in stages]


def accept_outputs(stages: Iterable[str]) -> None:
    """Record the outputs in the working directory as those of ``stages``, without running them.

    Raises:
        ThawError: DVC fails; the message names the command that does the same later.
    """
    names = list(stages)
    if not names:
        return
    command = ["commit", "--force", "--quiet", *names]
    try:
        run_dvc(*command)
    except ThawError as error:
        raise ThawError(
            f"{error}; the files of the project are converted: `dvc {' '.join(command)}` keeps the "
            "outputs of these stages, else `dvc repro` makes them again"
        ) from None


def run_dvc(*arguments: str) -> str:
    """Return what DVC prints.

    Raises:
        ThawError: it fails.
    """
    done = completed_dvc(*arguments)
    if done.returncode:
        raise ThawError(f"`dvc {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def completed_dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC to its end; return its exit code and what it prints."""
    command = [sys.executable, "-P", "-m", "dvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def _items(changes: list[Any], kinds: tuple[str, ...]) -> list[str]:
    """Return what has changed in a stage beside its code, from the entries of ``dvc status``."""
    found: list[str] = []
    for change in changes:
        if isinstance(change, dict):
            for kind, items in change.items():
                found += _changed_items(kind, items) if kind in kinds else []
    return found


def _changed_items(kind: str, items: dict[str, Any]) -> list[str]:
    """Return the changed items that are not code."""
    found = []
    for path, state in items.items():
        if kind == _INPUTS and path.startswith(_CODE):
            continue
        if isinstance(state, dict):  # parameters of a file
            found += [f"{path}: {key} ({what})" for key, what in state.items()]
        else:
            found.append(f"{path} ({state})")
    return found
