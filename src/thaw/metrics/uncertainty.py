"""Uncertainty of scores: the interval of a share, and weights that resample test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def share_interval(hits: int, images: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, ``hits`` of ``images``.

    Source: Wilson 1927.
    """
    from scipy.stats import binomtest

    found = binomtest(hits, images).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def resample_weights(
    targets: NDArray[np.int64], count: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return how often each image is drawn in each resample, (count, N).

    ``targets`` (N,) are the classes of the images; each class keeps its number of images.
    """
    weights = np.zeros((count, len(targets)))
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        shares = np.full(len(members), 1 / len(members))
        weights[:, members] = generator.multinomial(len(members), shares, size=count)
    return weights
