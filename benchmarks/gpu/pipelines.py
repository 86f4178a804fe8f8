"""Whole pipelines in each precision: test accuracy beside the CPU's, and the time of the digits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.projects import accuracy, make_photos, make_project, run_stages
from benchmarks.gpu.whole_pipeline import has_dvc, reproduce
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gpu.measurement import Setting

_TOLERANCE = 0.5  # points of accuracy
_TEST_FRACTION = 0.4  # of 1,280 photos: 512 images, of which one is 0.2 points
TINY: dict[str, Any] = {
    "backbone.name": "timm/test_efficientnet", "backbone.weights": "none",
    "backbone.image_size": 32, "warmup_head.epochs": 2, "unfreeze.epochs": 1,
    "unfreeze.depth": 2, "fold_bn.epochs": 1,
}  # fmt: skip


def digit_rows(setting: Setting) -> Iterator[Figure]:
    """Measure the default digits from nothing, and the digits on the CPU and in each precision."""
    values = TINY if setting.tiny else {}
    if not setting.tiny:  # writes the bytecode of all imports
        project = make_project(setting.folder / "warm-digits", values)
        run_stages(project, ["prepare", "warmup_head"])
    project = make_project(setting.folder / "default-digits", values)
    begun = time.perf_counter()
    stages = reproduce(project)
    total = time.perf_counter() - begun
    for stage, seconds in stages.items():
        yield Figure(f"default digits, {stage}", seconds, "s")
    how = "dvc repro" if has_dvc() else "stages without DVC"
    yield Figure("default digits from nothing", total, "s", target=45, at_most=True, note=how)
    yield from _in_each_precision(setting, "digits", values)


def photo_rows(setting: Setting) -> Iterator[Figure]:
    """Compare a folder of photos on the CPU and in each precision, with packaged weights."""
    yield from _in_each_precision(setting, "photos", _photos(setting))


def _in_each_precision(setting: Setting, name: str, values: dict[str, Any]) -> Iterator[Figure]:
    """Run all stages on the CPU and on the device in each precision, at the same time."""
    is_gpu = setting.device.type == "cuda"
    precisions = ("fp32", "tf32", "bf16", "fp16") if is_gpu else ("fp32",)
    with ThreadPoolExecutor(len(precisions) + 1) as pool:
        expected = pool.submit(_accuracy, setting, f"{name}-cpu", values, cpu=True)
        found = {
            precision: pool.submit(
                _accuracy, setting, f"{name}-{precision}", {**values, "launch.precision": precision}
            )
            for precision in precisions
        }
    yield Figure(f"{name}, CPU, test accuracy", 100 * expected.result(), "%")
    for precision, ended in found.items():
        distance = 100 * abs(ended.result() - expected.result())
        yield Figure(
            f"{name}, {precision}, accuracy beside the CPU's", distance, "points",
            target=_TOLERANCE, at_most=True, note=f"{100 * ended.result():.2f} %",
        )  # fmt: skip


def _accuracy(setting: Setting, name: str, values: dict[str, Any], *, cpu: bool = False) -> float:
    project = make_project(
        setting.folder / name, {**values, "launch.threads": max(1, cores() // 4)}
    )
    reproduce(project, cpu=cpu)
    return accuracy(project)


def _photos(setting: Setting) -> dict[str, Any]:
    classes, each = (3, 24) if setting.tiny else (8, 160)
    photos = make_photos(setting.folder / "few-photos", classes, each)
    values: dict[str, Any] = {
        "data.source": "folder", "data.path": str(photos), "data.root": str(photos),
        "prepare.test_fraction": _TEST_FRACTION,
        "backbone.name": "timm/tf_efficientnet_lite0", "backbone.weights": "packaged",
        "backbone.image_size": 128, "unfreeze.depth": 4, "fold_bn.epochs": 1,
    }  # fmt: skip
    return {**values, **TINY} if setting.tiny else values
