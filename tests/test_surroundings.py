"""A project in an odd folder, with files named like modules and variables of other launchers."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from thaw.config.editing import write_values

# Python imports these itself, before the first line of a program that `python -m` runs.
_OF_PYTHON = {"runpy", "importlib", "pkgutil", "warnings", "sys", "builtins"}
_FEW = ["random", "queue", "yaml", "socket", "pickle", "numpy", "typing", "logging", "json"]
LEFT_OVER = {
    "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "192.0.2.1",
    "MASTER_PORT": "29500", "OMPI_COMM_WORLD_SIZE": "2", "ACCELERATE_USE_DEEPSPEED": "true",
}  # fmt: skip


def all_modules() -> list[str]:
    found = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    return sorted(name for name in found - {"thaw", "tests"} if name.isidentifier())


def made(folder: Path, names: list[str]) -> Path:
    """Create a project of small images in an odd folder, with files that tell of their import."""
    project = folder / "odd a%20b?c#d é" / "project"
    images = tiny.images(project.parent / "photos")
    run(["thaw", "init", str(project), "--images", str(images)], folder)
    write_values(
        {
            "backbone.name": "lenet5", "backbone.weights": "none", "backbone.image_size": 32,
            "backbone.crop_pct": 1.0, "warmup_head.epochs": 1, "unfreeze.depth": 2,
            "unfreeze.epochs": 1, "resources.workers": 1,
        },
        project / "params.yaml",
    )  # fmt: skip
    for name in names:
        lines = f"open({str(project / 'executed')!r}, 'a').write('{name} ')\nraise RuntimeError\n"
        (project / f"{name}.py").write_text(lines)
    return project


def run(command: list[str], folder: Path) -> str:
    program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    done = subprocess.run(
        program, cwd=folder, env={**os.environ, **LEFT_OVER}, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def executed(project: Path) -> str:
    path = project / "executed"
    return path.read_text() if path.exists() else ""


def check_pipeline(project: Path) -> None:
    for stage in ("prepare", "warmup_head", "unfreeze", "fold_bn", "evaluate"):
        run(["thaw", "stage", stage], project)
    assert "accuracy" in run(["thaw", "report"], project)
    run(["thaw", "predict", "models:/project@champion", "../photos", "--out", "../p.csv"], project)
    assert (project.parent / "p.csv").read_text().count("\n") == 37
    assert executed(project) == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_pipeline_in_odd_surroundings_is_like_any_other(tmp_path: Path) -> None:
    project = made(tmp_path, _FEW)
    run(["python", "-m", "thaw.cli", "check"], project)
    check_pipeline(project)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_no_module_of_the_project_is_imported_whatever_its_name(tmp_path: Path) -> None:
    project = made(tmp_path, [name for name in all_modules() if name not in _OF_PYTHON])
    check_pipeline(project)
    write_values({"search.space": {"unfreeze.lr": [0.0001, 0.001]}}, project / "params.yaml")
    run(["thaw", "search", "--trials", "2", "--workers", "2"], project)
    assert executed(project) == ""
