from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.advice.tournament.comparison import choose_cheapest, paired_difference

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Entry:
    """A candidate for the tests."""

    losses: NDArray[np.float64]
    price: float


HARD = np.random.default_rng(0).gamma(2.0, 1.0, 400)  # what each image costs any candidate
NOISE = np.random.default_rng(1).normal(0.0, 0.1, (2, 400))


def test_a_paired_difference_has_the_error_of_the_differences() -> None:
    mean, error = paired_difference(HARD + 0.05 + NOISE[0], HARD)
    assert mean == pytest.approx(0.05, abs=0.02)
    assert error == pytest.approx(0.1 / 20, rel=0.1)


def test_a_costlier_candidate_must_lead_by_more_than_its_paired_error() -> None:
    cheap = Entry(HARD + NOISE[0], price=1.0)
    slightly_better = Entry(HARD + NOISE[1] - 0.002, price=2.0)
    clearly_better = Entry(HARD + NOISE[1] - 0.05, price=2.0)
    assert choose_cheapest([cheap, slightly_better]) is cheap
    assert choose_cheapest([cheap, clearly_better]) is clearly_better


def test_of_equal_prices_the_lower_loss_is_chosen() -> None:
    first = Entry(HARD, price=1.0)
    second = Entry(HARD - 0.001 + NOISE[0] - NOISE[0].mean(), price=1.0)
    assert choose_cheapest([first, second]) is second


def test_a_cheaper_and_better_candidate_is_chosen() -> None:
    first = Entry(HARD, price=2.0)
    second = Entry(HARD - 0.1, price=1.0)
    assert choose_cheapest([first, second]) is second


def test_candidates_with_equal_losses_are_equal_to_the_rule() -> None:
    assert (
        choose_cheapest([Entry(HARD, price=2.0), other := Entry(HARD.copy(), price=1.0)]) is other
    )


def test_a_candidate_that_is_worse_than_guessing_loses_to_one_that_is_better() -> None:
    cheap = Entry(HARD + 0.002 + NOISE[0] - NOISE[0].mean(), price=1.0)
    better = Entry(HARD, price=2.0)
    between = float(HARD.mean()) + 0.001
    assert choose_cheapest([cheap, better]) is cheap
    assert choose_cheapest([cheap, better], guessing=between) is better
    assert choose_cheapest([cheap, better], guessing=between - 0.1) is cheap  # neither is better


def test_one_image_tells_nothing() -> None:
    assert paired_difference(np.array([1.0]), np.array([0.5])).standard_error == np.inf
