"""SIGKILL at random moments of a stage: the same command must end at the same bits."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.projects import (
    environment,
    make_photos,
    make_project,
    run_stages,
    stage_command,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.gpu.measurement import Setting

_STAGE = "unfreeze"
_WEIGHTS = "models/unfreeze/model.safetensors"


def rows(setting: Setting) -> Iterator[Figure]:
    """Kill the stage unfreeze at random moments and count the same bits."""
    classes, each, kills = (3, 24, 2) if setting.tiny else (8, 100, 20)
    photos = make_photos(setting.folder / "few-photos", classes, each)
    values: dict[str, Any] = {
        "data.source": "folder", "data.path": str(photos), "data.root": str(photos),
        "backbone.name": "timm/test_efficientnet" if setting.tiny else "timm/resnet18",
        "backbone.weights": "none", "backbone.image_size": 32 if setting.tiny else 128,
        "warmup_head.epochs": 1, "unfreeze.depth": 4, "unfreeze.epochs": 2 if setting.tiny else 10,
        "unfreeze.patience": 1000, "resources.checkpoint_minutes": 1e-4,
    }  # fmt: skip
    project = make_project(setting.folder / "kills", values)
    run_stages(project, ["prepare", "warmup_head"])
    begun = time.perf_counter()
    run_stages(project, [_STAGE])
    seconds = time.perf_counter() - begun
    expected = _digest(project)
    generator = random.Random(0)
    same = 0
    for _ in range(kills):
        for path in (project / "models" / _STAGE, project / ".thaw" / "checkpoints"):
            shutil.rmtree(path, ignore_errors=True)
        _kill_after(project, generator.uniform(0.2, 1.0) * seconds)
        run_stages(project, [_STAGE])
        same += _digest(project) == expected
    name = f"same bits after SIGKILL, of {kills}"
    yield Figure(name, same, target=kills, note=f"a run takes {seconds:.1f} s")


def _kill_after(project: Path, seconds: float) -> None:
    process = subprocess.Popen(
        stage_command(_STAGE), cwd=project, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _digest(project: Path) -> str:
    return hashlib.sha256((project / _WEIGHTS).read_bytes()).hexdigest()
