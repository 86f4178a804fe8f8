"""Run stages without DVC and without a new process for each, which imports torch for seconds."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState
from ruamel.yaml import YAML

from tests.project import ROOT
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.process_sections import Launch
from thaw.system.launching import ENVIRONMENT, accelerate_command
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.project import Project


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
    return _run_in_processes(1, project, stages)


def run_in_two_processes(project: Project, *stages: str) -> str:
    """Run ``stages`` in two processes, which Accelerate starts once; return their output."""
    return _run_in_processes(2, project, stages)


def _run_in_processes(number: int, project: Project, stages: Sequence[str]) -> str:
    """Start processes with the environment that `thaw stage` gives them, but for all stages."""
    launch = load(Params, project.folder / "params.yaml").launch
    threads = launch.threads or max(1, cores() // number)
    variables = {
        **ENVIRONMENT,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = accelerate_command("tests.stage_runs", Launch(processes=number), threads)
    set_variables = [f"{name}={value}" for name, value in variables.items()]
    return project.run("env", *set_variables, *command, *stages)


def _run_as_one_of_several(stages: Sequence[str]) -> None:
    """Run ``stages`` of the project in the working directory."""
    for stage in stages:
        import_module(f"thaw.stages.{stage}").main()
        PartialState().wait_for_everyone()  # until the first process has written the outputs


if __name__ == "__main__":
    _run_as_one_of_several(sys.argv[1:])
