"""Whole pipelines in each precision: test accuracy beside the CPU's, and the time of the digits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.projects import accuracy, make_photos, make_project, run_stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gpu.measurement import Setting

_TOLERANCE = 0.5  # points of accuracy
_TINY: dict[str, Any] = {
    "backbone.name": "timm/test_efficientnet", "backbone.weights": "none",
    "backbone.image_size": 32, "warmup_head.epochs": 2, "unfreeze.epochs": 1,
    "unfreeze.depth": 2, "fold_bn.epochs": 1,
}  # fmt: skip


def rows(setting: Setting) -> Iterator[Figure]:
    """Run the digits and a folder of photos on the CPU, and on the device in each precision.

    The smoke test leaves the digits out, which take minutes on a CPU.
    """
    is_gpu = setting.device.type == "cuda"
    precisions = ("fp32", "tf32", "bf16", "fp16") if is_gpu else ("fp32",)
    projects: dict[str, dict[str, Any]] = {"photos": _photos(setting)}
    if not setting.tiny:
        projects["digits"] = {}
    for name, values in projects.items():
        project = make_project(setting.folder / f"{name}-cpu", values)
        run_stages(project, cpu=True)
        expected = accuracy(project)
        yield Figure(f"{name}, CPU, test accuracy", 100 * expected, "%")
        for precision in precisions:
            changed = {**values, "launch.precision": precision}
            project = make_project(setting.folder / f"{name}-{precision}", changed)
            begun = time.perf_counter()
            run_stages(project)
            seconds = time.perf_counter() - begun
            yield Figure(f"{name}, {precision}, all stages", seconds, "s")
            distance = 100 * abs(accuracy(project) - expected)
            yield Figure(
                f"{name}, {precision}, accuracy beside the CPU's", distance, "points",
                target=_TOLERANCE, at_most=True,
            )  # fmt: skip
    if setting.tiny:
        return
    project = make_project(setting.folder / "default-digits", {})
    begun = time.perf_counter()
    run_stages(project)
    seconds = time.perf_counter() - begun
    yield Figure("default digits from nothing", seconds, "s", target=45, at_most=True)


def _photos(setting: Setting) -> dict[str, Any]:
    classes, each = (3, 24) if setting.tiny else (8, 100)
    photos = make_photos(setting.folder / "few-photos", classes, each)
    values: dict[str, Any] = {
        "data.source": "folder", "data.path": str(photos), "data.root": str(photos),
        "backbone.weights": "none", "backbone.image_size": 128, "backbone.name": "timm/resnet18",
        "unfreeze.depth": 4, "fold_bn.epochs": 1,
    }  # fmt: skip
    return {**values, **_TINY} if setting.tiny else values
