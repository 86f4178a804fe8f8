"""Uncertainty of scores: intervals of a share, resampled test images, swapped answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NORMAL_95 = 1.96  # standard errors in half of a 95 % interval of a mean


def share_interval(hits: int, images: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, ``hits`` of ``images``.

    Source: Wilson 1927.
    """
    from scipy.stats import binomtest

    found = binomtest(hits, images).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def exact_intervals(
    hits: NDArray[np.int64], images: NDArray[np.int64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper ends (N,) of intervals of shares, which are never too narrow.

    Each of the N shares is ``hits`` of ``images``. ``confidence`` is that of one interval, in 0..1.

    Source: Clopper & Pearson 1934.
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    lows = beta.ppf(tail, hits, images - hits + 1)  # NaN without a hit
    highs = beta.ppf(1 - tail, hits + 1, images - hits)  # NaN without a miss
    return np.nan_to_num(lows, nan=0.0), np.nan_to_num(highs, nan=1.0)


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


def swapped_sums(
    own: NDArray[np.float64], other: NDArray[np.float64], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums over images, (count, K) of each model, if they swap answers at random.

    ``own`` and ``other`` (N, K) are the rows of two models for the same images. For each image, the
    models swap with probability 0.5.

    Source: Yeh 2000, "More accurate tests for the statistical significance of result differences".
    """
    stays = generator.integers(0, 2, (count, len(own))).astype(np.float64)
    mixed = other.sum(axis=0) + stays @ (own - other)
    return mixed, own.sum(axis=0) + other.sum(axis=0) - mixed
