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
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.gpu.inputs import classifier, finished, options, packed_source
from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.saved_figures import rows as table_rows
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

    import torch

    from benchmarks.gpu.inputs import Options
    from thaw.training.runtime import Runtime

_STEP = "benchmark: training step"
_VALIDATION = 32  # images
_COPIES = ("Memcpy", "Memset")


def rows(given: Options) -> list[Figure]:
    """Return both figures."""
    device = choose_device(given.device)
    precision: Any = given.precision
    runtime = start(Launch(precision=precision), Resources(), device)
    with tempfile.TemporaryDirectory() as name:
        return [*idle_rows(given, runtime, Path(name)), *cached_rows(given, runtime, Path(name))]


def idle_rows(given: Options, runtime: Runtime, scratch: Path) -> list[Figure]:
    """Return the share of an epoch in which the device computes nothing, with crop and flip."""
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
    events = list(profiled.events() or ())
    steps = [_range(event) for event in events if event.name == _STEP and not _is_of_gpu(event)]
    begin, end = min(first for first, _ in steps), max(last for _, last in steps)
    share = idle_share(computing(events, runtime.device), begin, end)
    name = "device idle between first and last step of an epoch"
    return [Figure(name, 100 * share, "%", target=3, at_most=True)]


def computing(events: Iterable[Any], device: torch.device) -> list[tuple[float, float]]:
    """Return the times in which ``device`` computes, of the events of a profile.

    Copies are no computation. Neither are the ranges of the GPU that the profiler makes of ranges
    of the program, such as ``Optimizer.step``, which have their names. On a CPU, the operations of
    torch are returned.
    """
    every = list(events)
    if device.type == "cpu":
        return [_range(event) for event in every if event.name.startswith("aten::")]
    ranges = {event.name for event in every if not _is_of_gpu(event)}
    return [
        _range(event)
        for event in every
        if _is_of_gpu(event)
        and event.name not in ranges
        and not getattr(event, "is_user_annotation", False)
        and not event.name.startswith(_COPIES)
    ]


def _is_of_gpu(event: Any) -> bool:
    return str(event.device_type).endswith("CUDA")


def idle_share(work: Iterable[tuple[float, float]], begin: float, end: float) -> float:
    """Return the share of the time between two points that no interval of ``work`` covers."""
    busy, covered = 0.0, begin
    for first, last in sorted(work):
        first, last = max(first, covered), min(last, end)
        busy += max(0.0, last - first)
        covered = max(covered, last)
    return 1 - busy / (end - begin)


def cached_rows(given: Options, runtime: Runtime, scratch: Path) -> list[Figure]:
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
        Figure(
            "head warm-up epoch on images over one on cached activations",
            on_images / on_activations, target=100,
        ),
        Figure("head warm-up epoch on images", on_images, "s"),
        Figure("head warm-up epoch on cached activations", on_activations, "s"),
    ]  # fmt: skip


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
    print("\n".join(table_rows(rows(options(__doc__)))))
