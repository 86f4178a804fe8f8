"""Images of many sizes beside images of one size, packed raw and as JPEGs.

Images of one size are resized together, others one by one. Both kinds have the same mean sides.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.epochs import computing, epoch_seconds
from benchmarks.gpu.inputs import classifier, finished, source_of
from benchmarks.gpu.measurement import Figure, median_seconds
from benchmarks.gpu.photographs import DISTINCT, photograph
from thaw.config.process_sections import Launch, Resources
from thaw.data.batches import batches
from thaw.data.loading import batch_parts
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.system.devices import choose_device
from thaw.system.processes import cores
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch

    from benchmarks.gpu.inputs import Options
    from thaw.data.loading import ImageSource
    from thaw.training.runtime import Runtime

    Packs = dict[str, ImageSource]  # by kind

Encoding = Literal["raw", "jpeg"]
ENCODINGS: tuple[Encoding, ...] = ("raw", "jpeg")
ONE, MANY = "500 x 375 pixels", "many sizes"  # the kinds
_SIZE = (500, 375)  # width and height
_SPREAD = 0.3  # of a side
_MOST = 3840  # images of a pack: 2 GB of raw pixels
_VALIDATION = 32  # images
_EPOCH = 1  # of the draws


def rows(given: list[Options], folder: Path) -> Iterator[Figure]:
    """Measure both kinds in each encoding: prepared with nothing else to do, and in epochs.

    The packs are written to ``folder``. Epochs are those of each backbone of ``given``.
    """
    first = given[0]
    precision: Any = first.precision
    runtime = start(Launch(precision=precision), Resources(), choose_device(first.device))
    for encoding in ENCODINGS:
        made = packs(folder / encoding, min(first.images, _MOST), encoding)
        if encoding == "raw":  # the device has the same work for JPEGs
            yield from _kernel_rows(first, made, runtime.device)
        # Threads share one interpreter, so that JPEGs are decoded in processes, too.
        ways = (0, cores()) if encoding == "jpeg" else (0,)
        for workers in ways:
            yield from _prepared_rows(first, made, runtime.device, encoding, workers)
        for one in given:
            yield from _epoch_rows(one, made, replace(runtime, workers=ways[-1]), encoding)


def sizes(count: int) -> list[tuple[int, int]]:
    """Return ``count`` different widths and heights in pixels, around those of one size."""
    shares = np.random.default_rng(0).uniform(1 - _SPREAD, 1 + _SPREAD, (2 * count, 2))
    drawn = dict.fromkeys((int(width), int(height)) for width, height in np.rint(shares * _SIZE))
    return list(drawn)[:count]


def packs(folder: Path, count: int, encoding: Encoding) -> Packs:
    """Write ``count`` images of each kind; there are at most ``DISTINCT`` sizes."""
    folder.mkdir(parents=True)
    distinct = min(count, DISTINCT)
    made = {}
    for number, (kind, shapes) in enumerate(((ONE, [_SIZE] * distinct), (MANY, sizes(distinct)))):
        pixels = [np.asarray(photograph(seed, size)) for seed, size in enumerate(shapes)]
        made[kind] = source_of(folder / str(number), count, pixels, encoding, crop=0.5, flip=0.5)
    return made


def _prepared_rows(
    given: Options, made: Packs, device: torch.device, encoding: Encoding, workers: int
) -> Iterator[Figure]:
    how = f"{encoding}, in loader processes" if workers else f"{encoding}, in threads"
    note = f"{workers} processes" if workers else ""
    rates = {}
    for kind, source in made.items():
        seconds = median_seconds(
            partial(_prepare, source, given.batch, device, workers), given.rounds
        )
        rates[kind] = len(source) / seconds
        yield Figure(f"prepared, {how}, {kind}", rates[kind], "images/s", note=note)
    yield Figure(f"prepared, {how}, {MANY} over one", rates[MANY] / rates[ONE])


def _prepare(source: ImageSource, batch: int, device: torch.device, workers: int = 0) -> None:
    parts = batch_parts(np.arange(len(source)), batch)
    for _ in batches(source, parts, device, workers=workers, epoch=_EPOCH):
        pass
    finished(device)


def _kernel_rows(given: Options, made: Packs, device: torch.device) -> Iterator[Figure]:
    """Count the kernels that prepare a batch; on a CPU, torch's operations."""
    for kind, source in made.items():
        _prepare(source, given.batch, device)  # makes what is kept for other batches
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        with profile(activities=activities, acc_events=True) as profiled:
            _prepare(source, given.batch, device)
        count = len(computing(profiled.events() or (), device))
        each = count / -(-len(source) // given.batch)
        yield Figure(f"kernels that prepare a batch of {given.batch}, {kind}", each)


def _epoch_rows(
    given: Options, made: Packs, runtime: Runtime, encoding: Encoding
) -> Iterator[Figure]:
    """Measure the training of all blocks; the validation split is small."""
    model = classifier(given.backbone)
    depth = len(model.blocks)
    apply_plan(model, last_blocks(depth, depth, "train"))
    how = f"{given.backbone.partition('/')[2]}, {given.precision}, {encoding}"
    note = f"{runtime.workers} loader processes" if runtime.workers else ""
    rates = {}
    for kind, source in made.items():
        inputs = PhaseInputs(source, _first(source, _VALIDATION), 0)
        rates[kind] = len(source) / epoch_seconds(given, runtime, model, inputs)
        yield Figure(f"epoch, {how}, {kind}", rates[kind], "images/s", note=note)
    yield Figure(f"epoch, {how}, {MANY} over one", rates[MANY] / rates[ONE])


def _first(source: ImageSource, count: int) -> ImageSource:
    """Return the first images of ``source``."""
    found = copy.copy(source)
    found.ids, found.targets = source.ids[:count], source.targets[:count]
    return found
