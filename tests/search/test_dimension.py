from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from thaw.search.dimension import Dimension

RATE = Dimension("unfreeze.lr", FloatDistribution(0.001, 0.1, log=True))
EPOCHS = Dimension("unfreeze.epochs", IntDistribution(2, 9))
NORM = Dimension("head.norm", CategoricalDistribution(["none"]))
HIDDEN = Dimension("head.hidden", CategoricalDistribution(["[]", "[8, 4]"]))


def test_a_choice_that_is_a_list_is_stored_as_text_and_read_back() -> None:
    assert [HIDDEN.decode(HIDDEN.encode(value)) for value in ([], [8, 4])] == [[], [8, 4]]


@pytest.mark.parametrize(
    ("dimension", "value", "expected"),
    [
        (HIDDEN, [8, 4], True),
        (HIDDEN, [4], False),
        (EPOCHS, 9, True),
        (EPOCHS, 2.5, False),
        (EPOCHS, 10, False),
        (EPOCHS, "auto", False),
        (RATE, 0.001, True),
        (RATE, 0.2, False),
        (Dimension("x", CategoricalDistribution([0, 1])), True, False),
    ],
)
def test_a_dimension_contains_its_choices_or_its_range(
    dimension: Dimension, value: Any, expected: bool
) -> None:
    assert dimension.contains(value) == expected


def test_a_value_outside_of_a_range_has_a_nearest_one_and_of_choices_none() -> None:
    assert [RATE.nearest(value) for value in (1e-5, 0.01, 1.0)] == [0.001, 0.01, 0.1]
    assert EPOCHS.nearest(20) == 9
    assert NORM.nearest("layer") is None
    assert RATE.nearest("auto") is None


def test_messages_show_choices_and_ranges() -> None:
    assert (NORM.text, RATE.text) == ("the choices none", "0.001 to 0.1")


def test_each_kind_of_dimension_is_drawn_within_its_values() -> None:
    trial = optuna.create_study().ask()
    for dimension in (RATE, EPOCHS, NORM, HIDDEN):
        dimension.suggest(trial)
        assert dimension.contains(dimension.decode(trial.params[dimension.key]))
