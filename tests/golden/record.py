"""Write the golden files, once, before a refactoring: ``python -m tests.golden.record``.

A change that keeps results must not run this: the files prove that it kept them.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.golden import cases, decisions, draws, stages
from tests.golden.machine import machine
from tests.project import Project

FOLDER = Path(__file__).parent


def write(name: str, content: dict[str, Any]) -> None:
    """Write a golden file."""
    (FOLDER / name).write_text(json.dumps(content, indent=1) + "\n")


def trainings() -> dict[str, Any]:
    """Return losses and digests of every case of one process."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        stages.make_project()
        return {name: stages.run_in_process(changes) for name, changes in cases.CASES.items()}


def two_processes() -> dict[str, Any]:
    """Return losses and digests of the cases of two processes."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        stages.make_project()
        return stages.run_in_processes(cases.TWO_PROCESSES)


def pipeline() -> dict[str, Any]:
    """Return weights and facts of the models of a short pipeline on the digits."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        project.small()
        project.run("dvc", "repro")
        os.chdir(folder)
        return stages.digits_results()


def main() -> None:
    """Record all golden files on this machine."""
    torch.set_num_threads(1)
    write("draws.json", {"exact": draws.exact(), "pixels": draws.pixels()})
    write("decisions.json", decisions.decide())
    write("trainings.json", {"machine": machine(), "cases": trainings()})
    write("two_processes.json", {"machine": machine(), "cases": two_processes()})
    write("pipeline.json", {"machine": machine(), "models": pipeline()})


if __name__ == "__main__":
    main()
