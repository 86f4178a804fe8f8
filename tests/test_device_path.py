"""Trainings on the CPU by the path of a GPU: a thread prepares batches, steps read no value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from tests.training import phase
from thaw.data.batches import prefetched_batches
from thaw.data.loading import ImageSource
from thaw.training import loop
from thaw.training import runtime as runtime_module
from thaw.training.checkpoints import Checkpoints
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from torch import Tensor

    from thaw.data.batches import Batch
    from thaw.data.loading import BatchPart, Source


class ImmediateSide:
    """A side whose work has ended when it is started."""

    def allocate(self, size: int) -> Tensor:
        """Return ``size`` bytes."""
        return torch.empty(size, dtype=torch.uint8)

    def copied(self, tensor: Tensor) -> Tensor:
        """Return a copy."""
        return tensor.clone()

    def run(self, make: Callable[[], Any]) -> tuple[Any, None]:
        """Return the result of ``make``."""
        return make(), None

    def hand_over(self, tensors: Iterable[Tensor], mark: Any) -> None:
        """Do nothing: the tensors are complete."""


@pytest.fixture
def _device_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches(
        source: Source, parts: list[BatchPart], _: torch.device, **options: Any
    ) -> Generator[Batch, None, None]:
        return prefetched_batches(source, parts, ImmediateSide(), **options)

    monkeypatch.setattr(runtime_module, "batches", batches)


def trained(folder: Path, sources: tuple[ImageSource, ImageSource]) -> dict[str, Tensor]:
    """Return the weights of a training with checkpoints in ``folder``."""
    setup = TrainingSetup(phase.config(), phase.PLAIN.regularize, phase.SEED)
    observer = Observer(Checkpoints(folder / "checkpoints", "key"))
    runtime = replace(tiny.runtime(), asynchronous=True, checkpoint_seconds=1e-9)
    model = phase.model(3, "train", dropout=0.5)
    loop.fit(runtime, model, PhaseInputs(*sources, 0), setup, observer)
    return phase.state(model)


def killed_at(at: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the reading ``at`` of a batch end the training; return the list of readings."""
    readings: list[int] = []
    read = ImageSource.read_packed

    def dying(self: ImageSource, *arguments: Any, **options: Any) -> Any:
        readings.append(len(readings))
        if len(readings) == at:
            raise phase.Killed
        return read(self, *arguments, **options)

    monkeypatch.setattr(ImageSource, "read_packed", dying)
    return readings


@pytest.mark.usefixtures("_device_path")
@pytest.mark.parametrize("at", [1, 2, 4, 9])  # the trial, the first scoring, epochs 1 and 2
def test_a_training_that_was_killed_ends_in_the_same_bits(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = (
        phase.images(tmp_path / "train", augmented=True),
        phase.images(tmp_path / "val", phase.VAL),
    )
    undisturbed = trained(tmp_path / "a", sources)
    with monkeypatch.context() as patch:
        killed_at(at, patch)
        with pytest.raises(phase.Killed):
            trained(tmp_path / "b", sources)
    assert not phase.differing(undisturbed, trained(tmp_path / "b", sources))


@pytest.mark.usefixtures("_device_path")
def test_a_training_ends_near_the_weights_of_the_path_of_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = (
        phase.images(tmp_path / "train", augmented=True),
        phase.images(tmp_path / "val", phase.VAL),
    )
    found = trained(tmp_path / "device", sources)
    monkeypatch.undo()
    for name, value in trained(tmp_path / "cpu", sources).items():
        torch.testing.assert_close(found[name], value, rtol=0.01, atol=0.01, msg=name)


# Two processes under gloo; see tests.training.two_process_trainings.


def ranks(factory: pytest.TempPathFactory, name: str) -> list[dict[str, Tensor]]:
    out = phase.two_ranks(factory, "tests.training.two_process_trainings", limit=300)
    return [load_file(out / f"{name}-{rank}.safetensors") for rank in range(2)]


@pytest.mark.pipelines
@pytest.mark.usefixtures("_device_path")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
def test_deferred_steps_of_two_processes_train_to_the_weights_of_one(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, optimizer: str
) -> None:
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    model, runtime = phase.model(3, "affine"), replace(tiny.runtime(), asynchronous=True)
    phase.fit(tmp_path, model, sources, phase.config(optimizer=optimizer), runtime=runtime)
    first, second = ranks(tmp_path_factory, f"deferred-{optimizer}")
    assert phase.differing(first, second) == []
    for name, value in phase.state(model).items():
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.pipelines
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
def test_images_without_values_in_one_process_are_reported_in_both_for_the_same_step(
    tmp_path_factory: pytest.TempPathFactory, optimizer: str
) -> None:
    out = phase.two_ranks(tmp_path_factory, "tests.training.two_process_trainings", limit=300)
    for rank in range(2):
        error = json.loads((out / f"spoiled-{optimizer}-{rank}.json").read_text())
        assert error.startswith("the gradient is not finite in epoch 1, step 2:")
    first, second = ranks(tmp_path_factory, f"spoiled-{optimizer}")
    assert phase.differing(first, second) == []
    assert all(value.isfinite().all() for value in first.values())
