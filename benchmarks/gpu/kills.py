"""SIGKILL at random moments of all stages: the same command must end at the same bits."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.gpu import whole_pipeline
from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.projects import make_photos, make_project
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.gpu.measurement import Setting

_KILLS = 10  # of a group, so that it ends within a command of ten minutes
_AT_ONCE = 4  # runs, each in a project of its own
_ATTEMPTS = 5  # to kill a run before it has ended
_RESULTS = (
    "models/**/model.*",
    "reports/*/*.csv",
    "reports/*/report.json",
    "reports/*/metrics.json",
    "data/prepared/*.*",
)  # glob patterns


def first_rows(setting: Setting) -> Iterator[Figure]:
    """Kill pipelines at random moments and count the same bits: the first half of the kills."""
    yield from _rows(setting, 0)


def more_rows(setting: Setting) -> Iterator[Figure]:
    """Kill pipelines at other moments: the second half."""
    yield from _rows(setting, 1)


def _rows(setting: Setting, half: int) -> Iterator[Figure]:
    kills = 2 if setting.tiny else _KILLS
    values = _values(setting)
    reference = make_project(setting.folder / f"not-killed-{half}", values)
    seconds = whole_pipeline.reproduce(reference)
    expected = digests(reference)

    def one(number: int) -> tuple[bool, str]:
        folder = setting.folder / f"killed-{number}"
        stage = _killed(folder, values, number, seconds)
        whole_pipeline.reproduce(folder)
        return digests(folder) == expected, stage

    numbers = range(half * kills, (half + 1) * kills)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(one, numbers))
    stages = Counter(stage for _, stage in found)
    places = ", ".join(f"{stage} {stages[stage]}" for stage in STAGES if stages[stage])
    how = "dvc repro" if whole_pipeline.has_dvc() else "stages without DVC"
    yield Figure(
        f"same bits after SIGKILL, kills {numbers[0] + 1} to {numbers[-1] + 1}",
        sum(is_same for is_same, _ in found), target=kills,
        note=f"{how}, {sum(seconds.values()):.0f} s each; killed in {places}",
    )  # fmt: skip


def _killed(
    folder: Path, values: Mapping[str, Any], number: int, seconds: Mapping[str, float]
) -> str:
    """Kill a run of a new project in ``folder``; return the stage that was killed.

    Kill ``number`` is one of the stage of this number, at a random moment of the time that the
    stage takes alone. A run that has ended before is no kill: it is started again from nothing.

    Raises:
        RuntimeError: no attempt was a kill.
    """
    generator, stage = random.Random(number), STAGES[number % len(STAGES)]
    for _ in range(_ATTEMPTS):
        project = make_project(folder, values)
        killed = whole_pipeline.kill(project, stage, generator.uniform(0, seconds[stage]))
        if killed is not None:
            return killed
    raise RuntimeError(f"kill {number + 1}: each of {_ATTEMPTS} runs ended before it was killed")


def digests(project: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a result: images, models, histories, metrics."""
    paths = [path for pattern in _RESULTS for path in project.glob(pattern)]
    return {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if path.name != ".gitignore"  # DVC writes it
    }


def _values(setting: Setting) -> dict[str, Any]:
    classes, each = (3, 24) if setting.tiny else (8, 100)
    photos = make_photos(setting.folder / "photos-to-kill", classes, each)
    return {
        "data.source": "folder", "data.path": str(photos), "data.root": str(photos),
        "backbone.name": "timm/test_efficientnet" if setting.tiny else "timm/resnet18",
        "backbone.weights": "none", "backbone.image_size": 32 if setting.tiny else 128,
        "warmup_head.epochs": 1, "unfreeze.depth": 4, "unfreeze.epochs": 2 if setting.tiny else 10,
        "unfreeze.patience": 1000, "fold_bn.epochs": 2, "resources.checkpoint_minutes": 1e-4,
    }  # fmt: skip
