from __future__ import annotations

import numpy as np
import pytest

from thaw.metrics.uncertainty import resample_weights, share_interval


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
