from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
import torch

from tests import tiny
from tests.training import phase
from tests.training.greedy import greedy
from tests.training.test_learner import batch
from tests.training.test_optimizer_step import learner
from thaw.training import trainable_state
from thaw.training.rehearsal import Rehearsal

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier


def rehearsal(model: Classifier, images: int = 6) -> Rehearsal:
    """Return a rehearsal on a batch of ``images``, of which a step of the learner has eight."""
    assert model.plan is not None
    state = trainable_state.copy(trainable_state.state(model, model.plan))
    made = learner("adamw", asynchronous=False, model=model)
    return Rehearsal(tiny.runtime(), model, made, batch(images), state)


def test_a_rehearsal_changes_neither_weights_nor_statistics_nor_later_steps() -> None:
    ends = []
    for rehearses in (True, False):
        model = phase.model(3, "train", dropout=0.5)
        made = rehearsal(model)
        before = phase.state(model)
        if rehearses:
            assert made.fits(1)
            assert made.seconds() > 0
            assert phase.differing(before, phase.state(model)) == []
            assert all(parameter.grad is None for parameter in model.parameters())
        made.learner.network.train()
        made.learner.learn(batch(), 1, 0, 0)
        ends.append(phase.state(model))
    assert phase.differing(*ends) == []


@pytest.mark.parametrize(("parts", "fits"), [(1, False), (2, False), (3, True), (6, True)])
def test_a_rehearsal_says_whether_a_piece_fits(parts: int, fits: bool) -> None:
    model = phase.model(3, "frozen")
    greedy(model.head, 2)
    assert rehearsal(model).fits(parts) is fits


def test_other_errors_are_not_taken_for_exhausted_memory() -> None:
    model = phase.model(3, "frozen")
    made = rehearsal(model)
    model.head.register_forward_pre_hook(lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        made.fits(1)


def test_a_rehearsal_computes_as_training_does() -> None:
    model = phase.model(2, "train").eval()
    made = rehearsal(model)
    model.eval()
    modes: list[bool] = []
    model.blocks[2].register_forward_pre_hook(lambda block, _: modes.append(block[1].training))
    made.fits(1)
    assert modes == [True]
    model.eval()
    made.seconds()
    assert all(modes)


@pytest.mark.parametrize(("parts", "pieces"), [(1, 1), (2, 2), (8, 6)])
def test_the_time_of_a_step_is_that_of_all_of_its_pieces(
    parts: int, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rehearsal(phase.model(3, "frozen"))
    made.learner.divide(parts)
    clock = count()
    monkeypatch.setattr(Rehearsal, "_now", lambda _: float(next(clock)))
    assert made.seconds() == pieces
