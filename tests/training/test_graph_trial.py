"""Steps as CUDA graphs are used where a trial gives the same bits; the capture itself is faked."""

from __future__ import annotations

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
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def rehearsal(monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    runtime, model = tiny.runtime(), phase.model(3, "train", dropout=0.5)
    given = batch()
    config = phase.config(batch_size=len(given.inputs))
    setup = TrainingSetup(config, phase.PLAIN.regularize, phase.SEED)
    learner = Learner(runtime, model, np.arange(6) % 3, setup, 0)
    assert model.plan is not None
    state = trainable_state.copy(trainable_state.state(model, model.plan))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 2**30))
    return Rehearsal(runtime, model, learner, given, state)


def fake_capture(monkeypatch: pytest.MonkeyPatch, make: Callable[[Any, Any], Any]) -> None:
    def captured(network: Any, example: tuple[torch.Tensor]) -> Any:
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
    learner.rewrap()
    learner.learn(rehearsal.batch, 1, 2, 2)
    assert replays == [full]


def stale(network: Any, example: tuple[torch.Tensor]) -> Any:
    return lambda _: network(*example)


def rounded(network: Any, _: Any) -> Any:
    return lambda inputs: network(inputs) * (1 + 1e-6)


def failing(_: Any, __: Any) -> Any:
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (stale, "their results differ"),
        (rounded, "their results differ"),
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


def test_graphs_that_leave_no_memory_for_the_optimiser_are_dropped(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_capture(monkeypatch, lambda network, _: network)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**10, 2**30))
    assert use_graphs(rehearsal.learner, rehearsal) == "there is too little memory for them"


def test_without_a_full_batch_nothing_is_captured(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_capture(monkeypatch, failing)
    rehearsal.learner.piece_size += 1
    assert use_graphs(rehearsal.learner, rehearsal) == "there is no full batch"
