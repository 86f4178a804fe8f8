"""Whole epochs of thaw's training beside bare steps: throughput and BatchNorm policies."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.bare_steps import networks, shape, training_rate
from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.projects import make_photos, make_project, run_stages, working_in
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import Phase, open_context
from thaw.model.freeze_plan import last_blocks
from thaw.registry.starting_model import starting_model
from thaw.system import project_paths
from thaw.training.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.gpu.measurement import Setting
    from thaw.training.history import EpochRow

_AUGMENT = {"augment.rotate": 0.0, "augment.shift": 0.0, "augment.zoom": 0.0,
            "augment.crop": 0.3, "augment.flip": 0.5}  # fmt: skip
_PROMISED = 1000  # epochs
_CHOICES = "choices.json"  # in the folder of the project


def rows(setting: Setting) -> Iterator[Figure]:
    """Measure the training of all blocks: eager, with compile: auto, and under affine."""
    precision = "bf16" if setting.device.type == "cuda" else "fp32"
    for name, backbone in networks(setting).items():
        project = _prepared(setting, backbone)
        bare = training_rate(setting, backbone, precision)
        yield Figure(f"bare step, {name}, {precision} (again)", bare, "images/s")
        eager = _rate(setting, project, precision=precision)
        yield Figure(f"unfreeze all, {name}, {precision}", eager, "images/s")
        yield Figure(f"unfreeze all over bare step, {name}", eager / bare, target=0.95)
        compiled = _rate(setting, project, precision=precision, compiler="auto")
        note = _decision(project)
        yield Figure(f"unfreeze all, compile: auto, {name}", compiled, "images/s", note=note)
        yield Figure(f"compile: auto over bare step, {name}", compiled / bare, target=1.15)
        affine = _rate(setting, project, precision=precision, policy="affine")
        yield Figure(f"affine over train, {name}", affine / eager, target=1.2)


class _EnoughError(Exception):
    """All epochs of a measurement have ended."""


class _Clock:
    """The times at which the start and each epoch end, whose validation has waited for the device.

    It ends the training after ``epochs``.
    """

    def __init__(self, epochs: int) -> None:
        self.marks: list[float] = []
        self._epochs = epochs

    def note(self, _: EpochRow) -> None:
        self.marks.append(time.perf_counter())
        if len(self.marks) > self._epochs:
            raise _EnoughError


def _prepared(setting: Setting, backbone: str) -> Path:
    """Return a project with prepared photos; the validation split is small."""
    classes, each = (3, 24) if setting.tiny else (16, 800)
    photos = make_photos(setting.folder / "photos", classes, each)
    batch, size = shape(setting)
    values: dict[str, Any] = {
        "data.source": "folder", "data.path": str(photos), "data.root": str(photos),
        "prepare.short_side": 256, "prepare.val_fraction": 0.05, "prepare.test_fraction": 0.05,
        "backbone.name": backbone, "backbone.weights": "none", "backbone.image_size": size,
        "warmup_head.batch_size": batch, "unfreeze.batch_size": batch,
        "unfreeze.depth": 1, "unfreeze.patience": 1000, **_AUGMENT,
    }  # fmt: skip
    project = make_project(setting.folder / f"speed-{backbone.partition('/')[2]}", values)
    run_stages(project, ["prepare"])
    return project


def _rate(setting: Setting, project: Path, **choices: Any) -> float:
    """Return the images a second of whole epochs that train all blocks, with their validation."""
    seconds, images = _train(project, setting.repeats + 1, **choices)
    return images / statistics.median(seconds[1:])


def _train(
    project: Path, epochs: int, precision: str, policy: Any = "train", compiler: Any = "off"
) -> tuple[list[float], int]:
    """Train all blocks; return the seconds of each epoch and the number of training images.

    With the compiler ``auto``, the training believes that it has ``_PROMISED`` epochs, so that
    compiling can repay itself. It ends after ``epochs`` all the same.
    """
    with working_in(project):
        params = load(Params)
        launch = params.launch.model_copy(update={"precision": precision, "compile": compiler})
        params = params.model_copy(update={"launch": launch})
        context = open_context(params, project_paths.PREPARED)
        classifier, spec = starting_model(context)
        count = len(classifier.blocks)
        plan = last_blocks(count, count, policy)
        promised = _PROMISED if compiler == "auto" else epochs
        training = params.unfreeze.model_copy(update={"epochs": promised})
        phase = Phase(plan, training, spec.preprocessing, params.augment.fixed())
        clock = _Clock(epochs)
        observer = Observer(on_epoch=clock.note, choices=project / _CHOICES)
        with contextlib.suppress(_EnoughError):
            context.train(classifier, phase, observer)
        images = len(context.data.images("train", spec.preprocessing))
    return _between(clock.marks), images


def _decision(project: Path) -> str:
    """Return what compile: auto has stored; on a CPU it stores nothing."""
    path = project / _CHOICES
    is_on = path.exists() and json.loads(path.read_text())["compiled"]
    return f"{'on' if is_on else 'off'}, decided for {_PROMISED} epochs"


def _between(marks: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(marks)]
