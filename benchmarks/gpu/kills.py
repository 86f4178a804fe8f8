"""SIGKILL at random moments of a stage: the same command must end at the same bits."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
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
_AT_ONCE = 4  # runs, each in a copy of the project


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
    moments = [generator.uniform(0.2, 1.0) * seconds for _ in range(kills)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        same = sum(
            pool.map(
                lambda number: _is_same(project, number, moments[number], expected), range(kills)
            )
        )
    name = f"same bits after SIGKILL, of {kills}"
    yield Figure(name, same, target=kills, note=f"a run takes {seconds:.1f} s")


def _is_same(project: Path, number: int, seconds: float, expected: str) -> bool:
    """Kill a copy of the project after ``seconds``; return whether it ends at the same bits."""
    copied = project.with_name(f"kills-{number}")
    # MLflow's store belongs to the folder in which it was created.
    shutil.copytree(project, copied, ignore=shutil.ignore_patterns("mlruns"))
    for path in (copied / "models" / _STAGE, copied / ".thaw" / "checkpoints"):
        shutil.rmtree(path, ignore_errors=True)
    _kill_after(copied, seconds)
    run_stages(copied, [_STAGE])
    return _digest(copied) == expected


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
