"""The arm ``auto``: what a user gets who names the images and types ``dvc repro``."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.method.scoring import scores
from tests.project import Project, environment

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.datasets.registry import Data

PROJECT = "project"


def create(data: Data, seed: int, folder: Path) -> Path:
    """Create a project in ``folder``, which names the images and nothing else of the method.

    It has the seed, and the number of threads that all arms have. The stages choose the size of
    inputs, except for the digits, which have a size and a crop.
    """
    place = folder / PROJECT
    command = ["thaw", "init", str(place)]
    if data.folder is not None:
        command += ["--images", str(data.folder(seed))]
    _run(folder, *command)
    _run(place, "git", "init", "--quiet")
    project = Project(place)
    project.set(seed=seed, launch__threads=int(os.environ["OMP_NUM_THREADS"]))
    if data.image_size is not None:
        project.set(backbone__image_size=data.image_size)
    if data.folder is None:
        project.set(data__source="digits", backbone__crop_pct=1.0)
    return place


def measure(project: Path) -> dict[str, Any]:
    """Run the pipeline and return its scores on the test split, and what it chose."""
    _run(project, "dvc", "repro")
    evaluated = project / "reports/evaluate"
    table = pd.read_csv(evaluated / "predictions.csv", dtype={"label": str})
    columns = [name for name in table.columns if name.startswith("p_")]
    places = {name.removeprefix("p_"): place for place, name in enumerate(columns)}
    targets = np.array([places[label] for label in table["label"]])
    found = scores(table[columns].to_numpy(), targets, "test")
    metrics = json.loads((evaluated / "report.json").read_text())
    return {"choice": _choice(project), "metrics": metrics, **found}


def _choice(project: Path) -> str:
    """Return what the stages chose, as JSON."""
    found: dict[str, Any] = {}
    for stage in ("warmup_head", "unfreeze"):
        path = project / "reports" / stage / "choices.json"
        if path.exists():
            found |= json.loads(path.read_text())["values"]
    return json.dumps(found)


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
