from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from thaw.metrics.uncertainty import (
    exact_intervals,
    resample_weights,
    share_interval,
    swapped_sums,
)


@pytest.mark.parametrize(
    ("hits", "images", "expected"),
    # z = 1.959964: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    [
        (0, 10, (0.0, 0.27753)),
        (10, 10, (0.72247, 1.0)),
        (8, 10, (0.49016, 0.94331)),
        (267, 269, (0.97330, 0.99796)),
    ],
)
def test_the_interval_is_that_of_wilson(
    hits: int, images: int, expected: tuple[float, float]
) -> None:
    assert share_interval(hits, images) == pytest.approx(expected, abs=1e-5)


def test_each_class_keeps_its_number_of_images() -> None:
    targets = np.array([2, 0, 0, 2, 2, 1])
    weights = resample_weights(targets, 50, np.random.default_rng(0))
    assert weights.shape == (50, 6)
    for label, images in ((0, 2), (1, 1), (2, 3)):
        assert (weights[:, targets == label].sum(axis=1) == images).all()
    assert len(np.unique(weights, axis=0)) > 10


def test_exact_intervals_are_those_of_clopper_and_pearson() -> None:
    hits, images = np.array([0, 10, 8, 267]), np.array([10, 10, 10, 269])
    for confidence in (0.95, 0.999):
        ends = zip(*exact_intervals(hits, images, confidence), strict=True)
        for share, found in zip(zip(hits, images, strict=True), ends, strict=True):
            wanted = binomtest(int(share[0]), int(share[1])).proportion_ci(confidence)
            assert found == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_swapped_answers_have_the_same_sum_over_both_models() -> None:
    generator = np.random.default_rng(0)
    own, other = generator.random((30, 3)), generator.random((30, 3))
    first, second = swapped_sums(own, other, 200, generator)
    np.testing.assert_allclose(first + second, np.tile((own + other).sum(axis=0), (200, 1)))
    assert first.mean(axis=0) == pytest.approx((own + other).sum(axis=0) / 2, rel=0.05)
    assert len(np.unique(first, axis=0)) > 100
