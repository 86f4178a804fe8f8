"""Run stages without DVC and without a new process for each, which imports torch for seconds."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from tests.project import ROOT

if TYPE_CHECKING:
    from tests.project import Project

_PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
from tests.stage_runs import run_stages
run_stages(Path(), *sys.argv[1:])
"""


def outputs(stage: str) -> list[str]:
    """Return the outputs of ``stage`` in ``dvc.yaml``: outs, metrics and plots."""
    content = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in content.get(kind, [])]
    return [path for entry in entries for path in (entry if isinstance(entry, dict) else [entry])]


def run_stages(folder: Path, *stages: str) -> None:
    """Run ``stages`` of the project ``folder`` in this process.

    Their outputs are removed first, as DVC does.
    """
    with contextlib.chdir(folder):
        for stage in stages:
            for path in outputs(stage):
                Path(path).unlink(missing_ok=True)
            import_module(f"thaw.stages.{stage}").main()


def run_in_one_process(project: Project, *stages: str) -> str:
    """Run ``stages`` in one new process, which has ended afterwards; return its output."""
    return project.run(sys.executable, "-c", _PROGRAM, str(ROOT), *stages)
