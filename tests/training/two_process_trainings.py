"""Trainings in two processes on a CPU, as on two GPUs; each process writes what it comes to.

Their steps are deferred, a thread prepares their batches, and small batches are normalised
together. torch has no synchronised BatchNorm for CPUs. Instead of it, blocks exchange a number in
each forward pass of training, which changes no result.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
import torch.distributed
from safetensors.torch import save_file

from tests.test_device_path import ImmediateSide
from tests.training import phase
from tests.training.greedy import greedy
from thaw.data.batches import prefetched_batches
from thaw.errors import ThawError
from thaw.training import batch_statistics, loop
from thaw.training import runtime as runtime_module
from thaw.training.observer import Observer
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import Runtime, start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Literal

    from torch import Tensor, nn

    from thaw.data.batches import Batch
    from thaw.data.loading import BatchPart, Source

OPTIMIZERS = ("adamw", "sgd", "lamb")
IMAGES = 64  # for batches of 16 and of 32: no step has fewer images than the others
SPOILED = 1  # the step of an epoch, from 0, of which the second process gets images without values
_LIMIT = 200.0  # seconds, of ten: processes that wait for each other end, and say where they wait
_exchanges: list[float] = []


@contextlib.contextmanager
def exchanging(blocks: nn.ModuleList, indices: Iterable[int]) -> Iterator[None]:
    """Let these blocks exchange a number with the other process when they train."""

    def exchange(block: nn.Module, _: Any, outputs: Tensor) -> None:
        if block.training:
            _exchanges.append(float(outputs.detach().mean()))
            found = [torch.empty(()) for _ in range(2)]
            torch.distributed.all_gather(found, outputs.detach().mean())

    hooks = [blocks[index].register_forward_hook(exchange) for index in indices]
    yield
    for hook in hooks:
        hook.remove()


def device_path(
    source: Source, parts: list[BatchPart], _: torch.device, **options: Any
) -> Generator[Batch, None, None]:
    """Yield batches that a thread prepares."""
    return prefetched_batches(source, parts, ImmediateSide(), **options)


def spoiled_path(
    source: Source, parts: list[BatchPart], device: torch.device, **options: Any
) -> Generator[Batch, None, None]:
    """Yield batches of which one of each epoch of training has images without values."""
    for number, batch in enumerate(device_path(source, parts, device, **options)):
        is_spoiled = options["epoch"] is not None and number == SPOILED
        yield replace(batch, inputs=batch.inputs * torch.nan) if is_spoiled else batch


@dataclass(frozen=True)
class Rank:
    """One of the two processes."""

    out: Path
    runtime: Runtime
    data: tuple[Source, Source]

    def keep(self, name: str, tensors: dict[str, Tensor]) -> None:
        plain = {key: value.contiguous() for key, value in tensors.items()}
        save_file(plain, self.out / f"{name}-{self.runtime.rank}.safetensors")

    def note(self, name: str, what: object) -> None:
        (self.out / f"{name}-{self.runtime.rank}.json").write_text(json.dumps(what))

    def train_deferred(self, optimizer: str) -> None:
        """Train by deferred steps, and once more with images without values in one process."""
        runtime = replace(self.runtime, asynchronous=True)
        training = phase.config(optimizer=optimizer)
        model, spoiled = phase.model(3, "affine"), phase.model(3, "affine")
        folder = self.out / optimizer
        with patch.object(runtime_module, "batches", device_path):
            phase.fit(folder, model, self.data, training, runtime=runtime)
        self.keep(f"deferred-{optimizer}", phase.state(model))
        path = spoiled_path if runtime.rank else device_path
        with patch.object(runtime_module, "batches", path):
            try:
                phase.fit(folder / "spoiled", spoiled, self.data, training, runtime=runtime)
                error = "none"
            except NotFiniteError as found:
                error = str(found)
        self.keep(f"spoiled-{optimizer}", phase.state(spoiled))
        self.note(f"spoiled-{optimizer}", error)

    def normalise_together(
        self, name: str, images: int, accumulate: int | Literal["auto"], most: int
    ) -> None:
        """Train with ``images`` a step, of which the second process has memory for ``most``.

        ``NAME-again`` has the choices of ``NAME``.
        """
        model = phase.model(2, "train")
        if self.runtime.rank:
            greedy(model.blocks[1], most)  # the first that trains: before anything is exchanged
        training = phase.config(batch_size=images)
        setup = TrainingSetup(training, phase.PLAIN.regularize, phase.SEED, accumulate=accumulate)
        choices = self.out / f"choices-{name.removesuffix('-again')}.json"
        _exchanges.clear()
        try:
            inputs, observer = PhaseInputs(*self.data, 0), Observer(choices=choices)
            loop.fit(self.runtime, model, inputs, setup, observer)
            error = "none"
        except ThawError as found:
            error = str(found)
        self.keep(name, phase.state(model))
        self.note(name, [error, len(_exchanges)])


def main(out: Path) -> None:
    """Run the trainings of this module and write ``out/NAME-RANK.*``."""
    faulthandler.dump_traceback_later(_LIMIT, exit=True)
    gc.freeze()  # each training collects garbage: what the imports made need not be walked
    torch.set_num_threads(1)
    runtime = start(phase.launch(2), phase.resources())
    folder = out / f"data-{runtime.rank}"
    data = phase.images(folder / "train"), phase.images(folder / "val", phase.VAL)
    rank = Rank(out, runtime, data)
    for optimizer in OPTIMIZERS:
        rank.train_deferred(optimizer)
    even = replace(rank, data=(phase.images(folder / "even", IMAGES), data[1]))
    with (
        patch.object(batch_statistics, "synced", exchanging),
        patch.object(batch_statistics, "_DEVICE", "cpu"),
    ):
        even.normalise_together("apart", 32, 1, most=16)
        even.normalise_together("fixed", 32, 2, most=8)
        even.normalise_together("auto", 32, "auto", most=8)
        even.normalise_together("auto-again", 32, "auto", most=16)
        even.normalise_together("small", 16, "auto", most=8)
        even.normalise_together("refused", 16, "auto", most=7)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
