"""Measure epochs on a GPU: its idle share, and cached activations against the images.

Alone: ``python -m benchmarks.gpu.epochs --precision=bf16``.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.gpu.inputs import (
    Row,
    classifier,
    finished,
    options,
    packed_source,
)
from benchmarks.result_tables import markdown
from tests import settings
from thaw.config.process_sections import Launch, Resources
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.system.devices import choose_device
from thaw.training.activation_cache import Cache
from thaw.training.learner import Learner
from thaw.training.loop import fit
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs, phase_inputs
from thaw.training.runtime import start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.gpu.inputs import Options
    from thaw.training.runtime import Runtime

_STEP = "benchmark: training step"
_VALIDATION = 32  # images


def rows(given: Options) -> list[Row]:
    """Return both figures."""
    device = choose_device(given.device)
    precision: Any = given.precision
    runtime = start(Launch(precision=precision), Resources(), device)
    with tempfile.TemporaryDirectory() as name:
        return [*idle_rows(given, runtime, Path(name)), *cached_rows(given, runtime, Path(name))]


def idle_rows(given: Options, runtime: Runtime, scratch: Path) -> list[Row]:
    """Return the share of an epoch in which the GPU computes nothing, with crop and flip."""
    train = packed_source(scratch / "idle", given.images, crop=0.5, flip=0.5)
    val = packed_source(scratch / "idle-val", _VALIDATION)
    model = classifier(given.backbone)
    depth = len(model.blocks)
    apply_plan(model, last_blocks(depth, depth, "train"))
    setup = _setup(given, epochs=1)
    measured = Learner.learn

    @functools.wraps(measured)
    def recorded(*arguments: Any, **named: Any) -> Any:
        with record_function(_STEP):
            return measured(*arguments, **named)

    fit(runtime, model, PhaseInputs(train, val, 0), setup, Observer())  # loads the kernels
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities, acc_events=True) as profiled:
        Learner.learn = recorded  # type: ignore[method-assign]
        try:
            fit(runtime, model, PhaseInputs(train, val, 0), setup, Observer())
            finished(runtime.device)
        finally:
            Learner.learn = measured  # type: ignore[method-assign]
    steps = [_range(event) for event in profiled.events() if event.name == _STEP]
    work = [
        (kernel.time_range.start, kernel.time_range.end)
        for kernel in profiled.events()
        if str(kernel.device_type).endswith("CUDA") and kernel.name != _STEP
    ]
    if not work:
        return [Row("GPU idle during an epoch", "under 3 %", "no GPU")]
    share = idle_share(work, min(begin for begin, _ in steps), max(end for _, end in steps))
    return [Row("GPU idle between first and last step of an epoch", "under 3 %", f"{share:.1%}")]


def idle_share(work: Iterable[tuple[float, float]], begin: float, end: float) -> float:
    """Return the share of the time between two points that no interval of ``work`` covers."""
    busy, covered = 0.0, begin
    for first, last in sorted(work):
        first, last = max(first, covered), min(last, end)
        busy += max(0.0, last - first)
        covered = max(covered, last)
    return 1 - busy / (end - begin)


def cached_rows(given: Options, runtime: Runtime, scratch: Path) -> list[Row]:
    """Return the time of an epoch of the head warm-up on images over that on activations."""
    train = packed_source(scratch / "images", given.images)
    val = packed_source(scratch / "val", _VALIDATION)
    model = classifier(given.backbone)
    depth = len(model.blocks)
    apply_plan(model, last_blocks(0, depth, "frozen"))
    cache = Cache(scratch / "activations", 1e12, "benchmark")
    cached = phase_inputs(runtime, model, train, val, depth, cache)
    on_images = epoch_seconds(given, runtime, model, PhaseInputs(train, val, 0))
    on_activations = epoch_seconds(given, runtime, model, cached)
    return [
        Row(
            "head warm-up epoch on images over one on cached activations",
            "100",
            f"{on_images / on_activations:.0f}",
        ),
        Row("  epoch on images", "", f"{on_images:.2f} s"),
        Row("  epoch on cached activations", "", f"{on_activations:.4f} s"),
    ]


def epoch_seconds(given: Options, runtime: Runtime, model: Any, inputs: PhaseInputs) -> float:
    """Return the median time of an epoch after the first one, which loads kernels and copies."""
    ends: list[float] = []

    def note(_: object) -> None:
        finished(runtime.device)
        ends.append(time.perf_counter())

    setup = _setup(given, epochs=given.rounds + 1)
    fit(runtime, model, inputs, setup, Observer(on_epoch=note))
    return float(statistics.median(np.diff(ends)[1:]))


def _setup(given: Options, epochs: int) -> TrainingSetup:
    training = settings.training(epochs=epochs, batch_size=given.batch, lr=1e-4, patience=epochs)
    return TrainingSetup(training, settings.regularize(), 0, graphs=True)  # as in a project


def _range(event: Any) -> tuple[float, float]:
    return event.time_range.start, event.time_range.end


if __name__ == "__main__":
    markdown(Row._fields, rows(options(__doc__)), Console())
