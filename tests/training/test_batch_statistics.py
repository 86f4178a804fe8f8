from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests import tiny
from tests.training import phase
from tests.training.greedy import greedy
from thaw.training import batch_statistics, loop
from thaw.training.batch_statistics import SynchronisedStatistics
from thaw.training.observer import Observer
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import Runtime
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.literals import BatchNormPolicy


class TwoDevices(Runtime):
    """The runtime of one of two processes on a device of a given type."""

    kind = "cuda"

    @property
    def device(self) -> torch.device:
        return torch.device(self.kind)

    @property
    def world(self) -> int:
        return 2


class TwoCpus(TwoDevices):
    kind = "cpu"


@pytest.mark.parametrize(
    ("runtime", "policy", "batch", "parts", "is_synced"),
    [
        (TwoDevices, "train", 16, 1, True),
        (TwoDevices, "train", 31, 1, True),
        (TwoDevices, "train", 32, 1, False),
        (TwoDevices, "train", 64, 4, True),
        (TwoDevices, "frozen", 16, 1, False),
        (TwoCpus, "train", 16, 1, False),
        (Runtime, "train", 8, 1, False),
    ],
)
def test_small_batches_of_several_gpus_are_normalised_together(
    runtime: type[Runtime], policy: BatchNormPolicy, batch: int, parts: int, is_synced: bool
) -> None:
    model = phase.model(2, policy)
    setup = TrainingSetup(
        phase.config(batch_size=batch), phase.PLAIN.regularize, 0, accumulate=parts
    )
    made = runtime(**vars(tiny.runtime()))
    with SynchronisedStatistics(made, model, setup) as statistics:
        assert synced_modules(model) == 0
        assert statistics.start(parts) is is_synced
        assert synced_modules(model) == (2 if is_synced else 0)
    assert synced_modules(model) == 0


def synced_modules(model: nn.Module) -> int:
    return len([m for m in model.modules() if isinstance(m, nn.SyncBatchNorm)])


def test_statistics_are_apart_again_before_a_pass_in_one_process() -> None:
    model = phase.model(2, "train")
    setup = TrainingSetup(phase.config(batch_size=16), phase.PLAIN.regularize, 0)
    with SynchronisedStatistics(TwoDevices(**vars(tiny.runtime())), model, setup) as statistics:
        statistics.start(1)
        statistics.end()
        assert synced_modules(model) == 0


def test_a_sharded_training_shares_statistics_before_it_is_divided_and_to_its_end() -> None:
    model = phase.model(2, "train")
    setup = TrainingSetup(phase.config(batch_size=64), phase.PLAIN.regularize, 0, accumulate=4)
    runtime = TwoDevices(**vars(replace(tiny.runtime(), shards=True)))
    with SynchronisedStatistics(runtime, model, setup) as statistics:
        assert synced_modules(model) == 2
        assert not statistics.start(4)
        statistics.end()
        assert synced_modules(model) == 2
    assert synced_modules(model) == 0


class Moving(Runtime):
    """The runtime of a process on a CPU under another name: moving to it replaces buffers."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu", 0)


def test_a_training_that_moves_the_network_keeps_the_synchronised_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    runtime = Moving(**vars(tiny.runtime()))
    expected, found = phase.model(2, "train"), phase.model(2, "train")
    phase.fit(tmp_path / "plain", expected, sources, runtime=runtime)
    # In one process, synchronised BatchNorm computes as the other does, also on a CPU.
    monkeypatch.setattr(batch_statistics, "is_synchronised", lambda *_: True)
    phase.fit(tmp_path / "synced", found, sources, runtime=runtime)
    assert phase.differing(phase.state(expected), phase.state(found)) == []


def test_memory_that_is_exhausted_is_measured_without_the_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They wait for the step for which this process has no memory.
    passes: list[str] = []

    @contextmanager
    def noting(blocks: nn.ModuleList, _: Iterable[int]) -> Iterator[None]:
        hook = blocks[2].register_forward_pre_hook(lambda *_: passes.append("shared"))
        yield
        hook.remove()

    monkeypatch.setattr(batch_statistics, "synced", noting)
    monkeypatch.setattr(batch_statistics, "is_synchronised", lambda *_: True)
    model, source = phase.model(2, "train"), phase.images(tmp_path / "images", 48)
    setup = TrainingSetup(phase.config(batch_size=16), phase.PLAIN.regularize, 0)
    memory: list[int] = []

    def shrinking(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled():
            memory.append(len(inputs[0]))
            passes.append("trained")
            if len(memory) == 2:
                greedy(model.head, 8)

    model.head.register_forward_pre_hook(shrinking)
    with pytest.raises(MemoryShortageError, match=r"step 3: 16 images .*, 8 do: set launch"):
        loop.fit(tiny.runtime(), model, PhaseInputs(source, source, 0), setup, Observer())
    assert memory == [16, 16, 16, 8]
    trained = [before for before, now in pairwise(passes) if now == "trained"]
    assert trained == ["shared"] * 3 + ["trained"]


# Two processes under gloo; see tests.training.two_process_trainings.


def ranks(factory: pytest.TempPathFactory, name: str) -> list[tuple[str, int, dict[str, Tensor]]]:
    """Return the error of each process, how often it exchanged statistics, and its weights."""
    out = phase.two_ranks(factory, "tests.training.two_process_trainings", limit=300)
    stems = [out / f"{name}-{rank}" for rank in range(2)]
    return [
        (*json.loads(stem.with_suffix(".json").read_text()),
         load_file(stem.with_suffix(".safetensors")))
        for stem in stems
    ]  # fmt: skip


@pytest.mark.pipelines
@pytest.mark.parametrize(
    ("name", "exchanges"),
    # 2 blocks in 3 epochs of 2 steps in 2 parts of 8 images, or of 4 steps of 8 images
    [("apart", 0), ("fixed", 24), ("auto", 24), ("auto-again", 24), ("small", 24)],
)
def test_statistics_are_exchanged_in_each_step_and_in_no_measurement(
    tmp_path_factory: pytest.TempPathFactory, name: str, exchanges: int
) -> None:
    assert [found[:2] for found in ranks(tmp_path_factory, name)] == [("none", exchanges)] * 2


@pytest.mark.pipelines
@pytest.mark.parametrize("name", ["auto", "auto-again"])
def test_measured_parts_decide_about_shared_statistics_as_a_given_number_does(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    for found, expected in zip(
        ranks(tmp_path_factory, name), ranks(tmp_path_factory, "fixed"), strict=True
    ):
        assert phase.differing(found[2], expected[2]) == []


@pytest.mark.pipelines
def test_a_process_without_memory_does_not_leave_the_other_waiting(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for error, exchanges, _ in ranks(tmp_path_factory, "refused"):
        assert error.startswith("Not even 8 images fit into the memory of cpu")
        assert exchanges == 0
