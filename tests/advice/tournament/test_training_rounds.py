from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.advice.project import open_model
from thaw.advice.tournament.fold_training import FoldResult
from thaw.advice.tournament.training_candidates import trainings
from thaw.advice.tournament.training_rounds import affordable, expected_loss, going_on
from thaw.config.params import Params

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("epochs", [1, 2, 7, 50])
@pytest.mark.parametrize(("scale", "most"), [(0.5, 1.5), (1.0, 1.5), (288 / 224, 1.0), (2.0, 1.0)])
def test_a_comparison_costs_at_most_one_and_a_half_trainings_one_in_pixels_of_a_larger_input(
    project: Path, epochs: int, scale: float, most: float
) -> None:
    opened = open_model()
    settings = opened.context.params.unfreeze.model_copy(update={"epochs": epochs})
    data, ways = opened.context.data, 4
    train = len(data.manifest.ids("train"))
    images = affordable(data, settings, ways, scale)
    trained = ways + 2 * (min(epochs, 3) - 1)
    one = 0.8 * trained + 0.2 / 3 * (1 + ways + 2)
    limit = most * epochs * train / max(1.0, scale) ** 2
    assert limit - one < images * one <= limit


@pytest.mark.parametrize(
    ("losses", "epochs", "expected"),
    [((2.0, 1.0), 9, 0.5), ((2.0, 1.0), 3, 1.0), ((1.0, 1.2), 9, 1.3), ((2.0, 1.0), 27, 0.0)],
)
def test_half_of_the_last_gain_is_expected_of_three_times_the_epochs(
    losses: tuple[float, float], epochs: int, expected: float
) -> None:
    way = trainings(Params().unfreeze, 9)[0]
    before, after = (
        FoldResult(way, number, np.full(5, loss), np.ones(5), 0.0)
        for number, loss in zip((1, 3), losses, strict=True)
    )
    assert expected_loss(before, after, epochs) == pytest.approx(expected)


_GENTLE, _STATISTICS, _AFFINE, _HALF = range(4)  # places in the list of ways


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((0.28, 1.26, 0.46, 0.20), [_HALF, _AFFINE]),  # digits: the affine form ends at 0.05
        ((0.28, 0.10, 0.15, 0.20), [_STATISTICS, _AFFINE]),
        ((0.28, 0.15, 0.25, 0.20), [_STATISTICS, _HALF]),
    ],
)
def test_the_best_two_go_on_and_one_of_them_starts_from_the_small_head(
    losses: tuple[float, ...], expected: list[int]
) -> None:
    ways = trainings(Params().unfreeze, 9)
    results = [
        FoldResult(way, 1, np.full(5, loss), np.ones(5), 0.0)
        for way, loss in zip(ways, losses, strict=True)
    ]
    assert [ways.index(each.candidate) for each in going_on(results)] == expected
    same_start = [results[_GENTLE], results[_HALF]]
    assert going_on(same_start) == [results[_HALF], results[_GENTLE]]
    assert going_on(results[:1]) == results[:1]
    assert going_on([]) == []
