"""Steps as CUDA graphs are used where a trial gives the same bits; the capture itself is faked."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.training import phase
from tests.training.test_learner import batch
from thaw.training import trainable_state
from thaw.training.graph_trial import use_graphs
from thaw.training.learner import Learner
from thaw.training.rehearsal import Rehearsal
from thaw.training.runtime import SCORE_BATCH
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def rehearsal() -> Rehearsal:
    runtime, model = tiny.runtime(), phase.model(3, "train", dropout=0.5)
    given = batch()
    config = phase.config(batch_size=len(given.inputs))
    setup = TrainingSetup(config, phase.PLAIN.regularize, phase.SEED)
    learner = Learner(runtime, model, np.arange(6) % 3, setup, 0)
    assert model.plan is not None
    state = trainable_state.copy(trainable_state.state(model, model.plan))
    return Rehearsal(runtime, model, learner, given, state)


def fake_capture(monkeypatch: pytest.MonkeyPatch, make: Callable[[Any, Any], Any]) -> None:
    def captured(network: Any, example: tuple[torch.Tensor], pool: Any = None) -> Any:
        assert pool is None  # of a GPU
        network(*example)  # as torch does: running statistics move
        return make(network, example)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", captured)


def state_of(rehearsal: Rehearsal) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in rehearsal.classifier.state_dict().items()}


def test_graphs_with_the_same_bits_are_used_for_full_batches(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays: list[int] = []

    def make(network: Any, _: Any) -> Any:
        def replay(inputs: torch.Tensor) -> Any:
            replays.append(len(inputs))
            return network(inputs)

        return replay

    fake_capture(monkeypatch, make)
    before, learner = state_of(rehearsal), rehearsal.learner
    assert use_graphs(learner, rehearsal) == ""
    assert not phase.differing(before, state_of(rehearsal))
    replays.clear()
    learner.learn(rehearsal.batch, 1, 0, 0)
    full = len(rehearsal.batch.inputs)
    assert replays == [full]
    smaller = replace(
        rehearsal.batch,
        inputs=rehearsal.batch.inputs[1:],
        targets=rehearsal.batch.targets[1:],
        weights=rehearsal.batch.weights[1:],
        total=full - 1,
    )
    learner.learn(smaller, 1, 1, 1)
    learner.network.rewrap()
    learner.learn(rehearsal.batch, 1, 2, 2)
    assert replays == [full]


def stale(network: Any, example: tuple[torch.Tensor]) -> Any:
    return lambda _: network(*example)


def rounded(network: Any, _: Any) -> Any:
    return lambda inputs: network(inputs) * (1 + 1e-6)


def draws_again(network: Any, _: Any) -> Any:
    """Return a graph that holds the random numbers of its capture."""

    def replay(inputs: torch.Tensor) -> Any:
        torch.manual_seed(0)
        return network(inputs)

    return replay


def failing(_: Any, __: Any) -> Any:
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (stale, "their results differ"),
        (rounded, "their results differ"),
        (draws_again, "their results differ"),
        (failing, "operation not permitted when stream is capturing"),
    ],
)
def test_other_graphs_are_dropped_and_leave_nothing_behind(
    make: Any, reason: str, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_capture(monkeypatch, make)
    before = state_of(rehearsal)
    assert use_graphs(rehearsal.learner, rehearsal) == reason
    assert not phase.differing(before, state_of(rehearsal))
    assert all(parameter.grad is None for parameter in rehearsal.classifier.parameters())
    rehearsal.learner.learn(rehearsal.batch, 1, 0, 0)  # by the network itself


def test_graphs_that_leave_no_memory_for_a_step_without_them_are_dropped(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Show it for the last batch of an epoch, which no graph computes if it is smaller."""

    def make(network: Any, _: Any) -> Any:
        head, within_graph = rehearsal.classifier.head, False

        def exhausted(*_: Any) -> None:
            if not within_graph:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        def replay(inputs: torch.Tensor) -> Any:
            nonlocal within_graph
            within_graph = True
            outputs = network(inputs)
            within_graph = False
            return outputs

        head.register_forward_pre_hook(exhausted)
        return replay

    fake_capture(monkeypatch, make)
    assert use_graphs(rehearsal.learner, rehearsal) == "there is too little memory for them"


def test_graphs_that_leave_no_memory_for_validation_are_dropped(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(_: Any, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) == SCORE_BATCH and not torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    rehearsal.classifier.head.register_forward_pre_hook(exhausted)
    fake_capture(monkeypatch, lambda network, _: network)
    before = state_of(rehearsal)
    assert use_graphs(rehearsal.learner, rehearsal) == "there is too little memory for them"
    assert not phase.differing(before, state_of(rehearsal))


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def memory_of_graphs(
    monkeypatch: pytest.MonkeyPatch, rounding: float
) -> list[weakref.ref[torch.Tensor]]:
    """Return a list that will have the memory of the next capture."""
    memory: list[weakref.ref[torch.Tensor]] = []

    def make(network: Any, _: Any) -> Any:
        static = torch.ones(3)
        memory.append(weakref.ref(static))

        def replay(inputs: torch.Tensor) -> Any:
            return network(inputs) * (1 + rounding * static)

        network.forward_of_graphs = replay  # torch's function and module refer to each other, too
        return network.forward_of_graphs

    fake_capture(monkeypatch, make)
    return memory


@pytest.mark.usefixtures("without_collector")
def test_dropped_graphs_free_their_memory(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memory_of_graphs(monkeypatch, 1e-6)
    assert use_graphs(rehearsal.learner, rehearsal) == "their results differ"
    assert memory[0]() is None


@pytest.mark.usefixtures("without_collector")
def test_graphs_that_are_used_free_their_memory_at_the_end_of_the_phase(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memory_of_graphs(monkeypatch, 0.0)
    assert use_graphs(rehearsal.learner, rehearsal) == ""
    assert memory[0]() is not None
    rehearsal.learner.network.close()
    assert memory[0]() is None


def test_gradients_are_compared_where_scaled_ones_overflow(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal.learner.step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    fake_capture(monkeypatch, lambda network, _: network)
    assert use_graphs(rehearsal.learner, rehearsal) == ""
    fake_capture(monkeypatch, _wrong_gradients)
    assert use_graphs(rehearsal.learner, rehearsal) == "their results differ"


def _wrong_gradients(network: Any, _: Any) -> Any:
    def replay(inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = network(inputs)
        return outputs.detach() + (outputs - outputs.detach()) * 2

    return replay


def test_without_a_full_batch_nothing_is_captured(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_capture(monkeypatch, failing)
    rehearsal.learner.network.piece_size += 1
    assert use_graphs(rehearsal.learner, rehearsal) == "there is no full batch"
