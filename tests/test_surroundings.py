"""A project in an odd folder, with files named like modules and variables of other launchers.

The notebook and the examples of the public API run in it, too: a pipeline takes half a minute.
"""

from __future__ import annotations

import doctest
import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import thaw
from tests import tiny
from tests.project import ROOT
from tests.registry.served import image
from thaw import api
from thaw.config.editing import write_values
from thaw.system.commands import Finished
from thaw.system.stage_names import STAGES

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


def run(command: list[str], folder: Path, **variables: str) -> str:
    program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    variables = {**os.environ, **LEFT_OVER, **variables}
    done = subprocess.run(
        program, cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def executed(project: Path) -> str:
    path = project / "executed"
    return path.read_text() if path.exists() else ""


def check_verbs(project: Path) -> None:
    assert "accuracy" in run(["thaw", "report"], project)
    run(["thaw", "predict", "models:/project@champion", "../photos", "--out", "../p.csv"], project)
    assert (project.parent / "p.csv").read_text().count("\n") == 37
    assert executed(project) == ""


@pytest.mark.pipelines
def test_stages_and_verbs_run_in_odd_surroundings(tmp_path: Path) -> None:
    folder = made(tmp_path, _FEW)
    for command in (["check"], ["stage", "prepare"], ["stage", "warmup_head"]):
        run(["python", "-m", "thaw.cli", *command], folder)
    assert executed(folder) == ""
    assert (folder / "models/warmup_head/model.json").is_file()


@pytest.mark.commands
@pytest.mark.timeout(1800)
def test_the_notebook_does_the_whole_job_in_odd_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, _FEW)
    run(["python", "-m", "thaw.cli", "check"], folder)
    printed = run(
        ["python", str(ROOT / "examples/notebook.py")], tmp_path, THAW_PROJECT=str(folder)
    )
    check_verbs(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_result(thaw.Project(folder), printed)
    monkeypatch.setattr(api, "run_module", lambda *_, **__: Finished(0, ""))  # trains nothing
    run_examples(thaw.Project(folder))


def check_result(project: thaw.Project, printed: str) -> None:
    result = project.last_result
    assert result is not None
    metrics = json.loads((project.folder / "reports/evaluate/metrics.json").read_text())
    assert result.metrics == metrics["test"]
    accuracy = result.metrics["accuracy"]
    assert f"test accuracy {accuracy:.3f}, {result.model_uri}, run {result.run_id}" in printed
    assert f"accuracy on the test images {accuracy:.3f}" in printed
    assert project.status().loc["champion", "version"] == result.version


def run_examples(project: thaw.Project) -> None:
    """Run the examples of the docstrings on ``project``; their results depend on the data."""
    model = project.load_model("champion")
    Path("photo.jpg").write_bytes(image())
    names = {"model": model, "project": project, "thaw": Examples(project)}
    documented = [api.load_model, api.Project, *(m for _, m in inspect.getmembers(api.Project))]
    sources = [doc for found in documented if (doc := inspect.getdoc(found)) and ">>>" in doc]
    examples = [example for doc in sources for example in doctest.DocTestParser().get_examples(doc)]
    assert len(examples) >= 7
    for example in examples:
        if "import" not in example.source:
            exec(example.source, names)


class Examples:
    """The names of ``thaw`` in the examples, on the project of the test."""

    def __init__(self, project: thaw.Project) -> None:
        self._project = project

    def Project(self, _: str) -> thaw.Project:  # noqa: N802
        return self._project

    def load_model(self, _: str) -> Any:
        return self._project.load_model("champion")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_no_module_of_the_project_is_imported_whatever_its_name(tmp_path: Path) -> None:
    project = made(tmp_path, [name for name in all_modules() if name not in _OF_PYTHON])
    for stage in STAGES:
        run(["thaw", "stage", stage], project)
    check_verbs(project)
    write_values({"search.space": {"unfreeze.lr": [0.0001, 0.001]}}, project / "params.yaml")
    run(["thaw", "search", "--trials", "2", "--workers", "2"], project)
    assert executed(project) == ""
