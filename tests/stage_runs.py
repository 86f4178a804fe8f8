"""Run stages without DVC and without a new process for each, which imports torch for seconds."""

from __future__ import annotations

import contextlib
from importlib import import_module
from pathlib import Path

from ruamel.yaml import YAML

from tests.project import ROOT


def outputs(stage: str) -> list[str]:
    """Return the outputs of ``stage`` in ``dvc.yaml``: outs, metrics and plots."""
    content = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in content.get(kind, [])]
    return [path for entry in entries for path in (entry if isinstance(entry, dict) else [entry])]


def remove_outputs(stage: str) -> None:
    """Remove the outputs of ``stage`` from the working directory, as DVC does before a run."""
    for path in outputs(stage):
        Path(path).unlink(missing_ok=True)


def run_stages(folder: Path, *stages: str) -> None:
    """Run ``stages`` of the project ``folder`` in this process.

    Their outputs are removed first, as DVC does.
    """
    with contextlib.chdir(folder):
        for stage in stages:
            remove_outputs(stage)
            import_module(f"thaw.stages.{stage}").main()
