from __future__ import annotations

import pytest

from thaw.advice.tournament.training_candidates import head_alone, trainings
from thaw.config.params import Params

SETTINGS = Params().unfreeze


def test_gentle_and_strong_ways_are_compared() -> None:
    found = trainings(SETTINGS, 9)
    assert [(each.depth, each.settings.lr, each.batch_norm) for each in found] == [
        (9, 1e-4, "frozen"),
        (9, 1e-3, "train"),
        (9, 1e-3, "affine"),
        (5, 3e-4, "frozen"),
    ]
    assert found[0].name == "all blocks, lr 0.0001, BatchNorm frozen"
    assert found[3].name == "last 5 blocks, lr 0.0003, BatchNorm frozen"
    assert sorted(found[3].plan.trainable) == [4, 5, 6, 7, 8]
    assert found[3].plan.batch_norm == "frozen"


def test_own_values_stay_and_no_way_is_compared_twice() -> None:
    own = SETTINGS.model_copy(update={"lr": 0.02, "batch_norm": "fixed"})
    found = trainings(own, 9)
    assert [(each.depth, each.settings.lr, each.batch_norm) for each in found] == [
        (9, 0.02, "fixed"),
        (5, 0.02, "fixed"),
    ]
    assert len(trainings(own, 1)) == 1


def test_the_head_alone_trains_nothing() -> None:
    alone = head_alone(SETTINGS, 9)
    assert alone.name == "head alone"
    assert not alone.plan.trainable
    assert alone.of(0).epochs == 0


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_candidate_trains_for_the_epochs_of_its_round(epochs: int) -> None:
    assert trainings(SETTINGS, 9)[0].of(epochs).epochs == epochs
