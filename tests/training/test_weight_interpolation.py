from __future__ import annotations

import numpy as np
import pytest
import torch

from thaw.training.weight_interpolation import FEWEST_IMAGES, choose, differs, interpolated

START = {"weight": torch.tensor([0.0, 2.0]), "count": torch.tensor(1)}
END = {"weight": torch.tensor([4.0, 2.0]), "count": torch.tensor(7)}


@pytest.mark.parametrize(("share", "first"), [(0.0, 0.0), (0.25, 1.0), (1.0, 4.0)])
def test_weights_lie_on_the_line_between_both_ends(share: float, first: float) -> None:
    found = interpolated(START, END, share)
    assert found["weight"].tolist() == [first, 2.0]
    assert found["count"] == 7


def test_the_ends_are_not_changed() -> None:
    interpolated(START, END, 0.5)["weight"].zero_()
    assert END["weight"].tolist() == [4.0, 2.0]


def test_counters_do_not_count_as_a_difference() -> None:
    assert differs(START, END, ["weight"])
    assert not differs(START, END, ["count"])
    assert not differs(START, END, ["of another block"])


def losses(mean: float, images: int = 100, seed: int = 0) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(0.0, 0.1, images)


def test_the_share_with_the_lowest_loss_is_taken_where_the_test_is_sure() -> None:
    found = choose({0.25: losses(0.9), 0.5: losses(0.5, seed=1), 1.0: losses(0.8, seed=2)})
    assert (found.share, found.reason) == (0.5, "")
    assert found.log_loss == {
        share: pytest.approx(loss, abs=0.05)
        for share, loss in ((0.25, 0.9), (0.5, 0.5), (1.0, 0.8))
    }


def test_the_trained_weights_stay_where_no_share_is_better() -> None:
    for means in ((0.8, 0.8), (0.9, 0.8), (0.795, 0.8)):
        found = choose({0.5: losses(means[0], seed=1), 1.0: losses(means[1], seed=2)})
        assert found.share == 1.0
        assert "paired test" in found.reason


def test_equal_shares_rarely_win_by_chance() -> None:
    wins = 0
    for seed in range(400):
        tried = {
            share: losses(0.5, seed=4 * seed + n) for n, share in enumerate((0.25, 0.5, 0.75, 1.0))
        }
        wins += choose(tried).share < 1.0
    assert wins / 400 < 0.07


@pytest.mark.slow
def test_few_images_decide_nothing() -> None:
    few = FEWEST_IMAGES - 1
    assert choose({0.5: losses(0.1, few), 1.0: losses(0.9, few)}).share == 1.0
