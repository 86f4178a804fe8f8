"""Paired tests: whether a challenger is better than a champion, or not worse, on the same images.

Accuracy: McNemar's exact test. With a margin: the exact unconditional test for paired binary
outcomes (Hsueh, Liu & Chen 2001) on Tango's score statistic (1998), which equals McNemar's at a
margin of 0. Other metrics: a paired bootstrap over the images, stratified by class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, norm

from thaw.metrics.predictions import Predictions
from thaw.metrics.uncertainty import resample_weights, swapped_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.metrics.registry import Metric

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

RESAMPLES = 4000
MIN_IMAGES = 30  # a bootstrap over fewer images is not reliable
_CHUNK = 500  # resamples drawn at once
_MOST_WEIGHTS = 50_000_000  # drawn at once, 8 bytes each: fewer resamples of very many images


@dataclass(frozen=True)
class Comparison:
    """The result of a paired test.

    ``advantage``: by how much the challenger is better, in units of the metric. ``confidence``
    (0..1): that the advantage is above minus the margin. ``confidence_worse`` (0..1): that it is
    below 0. ``images``: how many images the test used. ``needed``: how many images would give a
    clear result if the advantage stayed the same; None if no number would.
    """

    advantage: float
    confidence: float
    confidence_worse: float
    images: int
    needed: int | None


@dataclass(frozen=True)
class Pair:
    """Probabilities (N, C) of both models for the same images, and the targets (N,)."""

    challenger: Floats
    champion: Floats
    targets: Ints
    bins: int

    def predictions(self) -> tuple[Predictions, Predictions]:
        """Return the predictions of the challenger and of the champion."""
        challenger = Predictions(self.challenger, self.targets, self.bins)
        return challenger, Predictions(self.champion, self.targets, self.bins)


def compare(
    pair: Pair, metric: Metric, *, margin: float, confidence: float, seed: int = 0
) -> Comparison:
    """Test that the challenger is better (``margin`` 0), or worse by less than ``margin``."""
    if metric.is_share_correct:
        advantage, sure, worse = _exact(pair, margin)
        likely = sure
        if not margin and advantage > 0 and sure <= 0.5:  # one win, or three of five
            likely = _middle(sure, worse)
        needed = _needed(len(pair.targets), likely, confidence)
        if margin and advantage > -margin:  # even equal models need so many
            needed = max(needed or 0, min_images(metric, margin, confidence))
        return Comparison(advantage, sure, worse, len(pair.targets), needed)
    advantage, sure, worse = _bootstrap(pair, metric, margin, seed)
    fewest = min_images(metric, margin, confidence)
    images = image_count(metric, pair.targets)
    if images < fewest:
        return Comparison(advantage, min(sure, 0.5), min(worse, 0.5), images, fewest)
    return Comparison(advantage, sure, worse, images, _needed(images, sure, confidence))


def image_count(metric: Metric, targets: Ints) -> int:
    """Return how many of the images with ``targets`` (N,) decide about ``metric``."""
    if metric.limited_by_smallest_class:
        return int(np.bincount(targets)[np.unique(targets)].min())
    return len(targets)


def min_images(metric: Metric, margin: float, confidence: float) -> int:
    """Return the number of images below which ``metric`` is not compared with ``margin``.

    A bootstrap is not reliable below 30; the exact test of the accuracy has no such limit.
    For a metric that is limited by the smallest class, these are images of that class. If no
    predicted class differs, all resamples agree, but a difference of ``margin`` stays unseen with
    probability (1 - margin) ** N: the rule of three.
    """
    if not metric.uses_probabilities and margin > 0:
        unseen = math.ceil(math.log(1 - confidence) / math.log1p(-min(margin, 0.99)))
        return unseen if metric.is_share_correct else max(MIN_IMAGES, unseen)
    return MIN_IMAGES


def mcnemar(wins: int, losses: int) -> float:
    """Return the one-sided exact p-value of the hypothesis "the challenger is not better".

    ``wins`` and ``losses`` count the images that only the challenger or only the champion
    classifies correctly.

    Source: McNemar 1947; exact by the binomial distribution.
    """
    return float(binom.sf(wins - 1, wins + losses, 0.5))


def not_worse(wins: int, losses: int, images: int, margin: float) -> float:
    """Return the exact p-value of the hypothesis "the challenger is worse by ``margin`` or more".

    It is the largest p-value over the unknown rate of wins.
    """
    observed = _tango_score(np.array(wins), np.array(losses), images, margin)
    lost = np.arange(images + 1)
    least = _least_wins(lost, images, margin, float(observed))
    largest = 0.0
    for win_rate in (1 - margin) / 2 * np.linspace(0.0, 1.0, 101) ** 2:
        loss_rate = win_rate + margin
        chance = binom.pmf(lost, images, loss_rate)
        is_possible = chance > 1e-12
        rate = min(win_rate / max(1 - loss_rate, 1e-12), 1.0)
        tail = binom.sf(least[is_possible] - 1, images - lost[is_possible], rate)
        largest = max(largest, float(chance[is_possible] @ tail))
    return min(largest, 1.0)


def _tango_score(wins: Ints, losses: Ints, images: int, margin: float) -> Floats:
    """Return (wins - losses + margin * images) divided by its standard deviation at the margin."""
    middle = wins + losses + (losses - wins) * margin - 2 * images * margin
    spread = np.sqrt(middle**2 + 8 * images * wins * margin * (1 - margin))
    win_rate = (middle + spread) / (4 * images)
    variance = images * (2 * win_rate + margin * (1 - margin))
    score: Floats = (wins - losses + images * margin) / np.sqrt(np.maximum(variance, 1e-12))
    return score


def _least_wins(losses: Ints, images: int, margin: float, observed: float) -> Ints:
    """Return, for each number of losses, the fewest wins with a score of at least ``observed``."""
    low, high = np.zeros_like(losses), images - losses + 1
    while (low < high).any():
        middle = (low + high) // 2
        is_enough = _tango_score(middle, losses, images, margin) >= observed - 1e-9
        low, high = (
            np.where(is_enough | (low >= high), low, middle + 1),
            np.where(is_enough, middle, high),
        )
    return low


def _exact(pair: Pair, margin: float) -> tuple[float, float, float]:
    """Return the advantage in accuracy and its confidences, as ``_bootstrap`` does."""
    challenger, champion = (one.is_correct for one in pair.predictions())
    wins, losses = int((challenger & ~champion).sum()), int((champion & ~challenger).sum())
    images = len(challenger)
    p = not_worse(wins, losses, images, margin) if margin else mcnemar(wins, losses)
    return (wins - losses) / images, 1 - p, 1 - mcnemar(losses, wins)


def _middle(sure: float, worse: float) -> float:
    """Return the confidence in "better" that counts the observed result half (mid-p).

    Those of the exact tests in both directions do not count it, so that their sum is below 1.
    """
    return (1 + sure - worse) / 2


def _bootstrap(pair: Pair, metric: Metric, margin: float, seed: int) -> tuple[float, float, float]:
    """Return the advantage, the confidence that it is above -margin, and that it is below 0.

    If few images differ, a bootstrap is overconfident: of 4 wins and no loss, 98 % of the resamples
    contain a win, but equal models produce that once in 16 times. So "better" must also hold if
    the two models swap their outputs at random per image (Yeh 2000), which is exact for equal
    models.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    own, other = (metric.per_image(one) for one in pair.predictions())

    def difference(own_sums: Floats, other_sums: Floats) -> Floats:
        return sign * (own.from_sums(own_sums) - other.from_sums(other_sums))

    own_total, other_total = (one.rows.sum(axis=0, keepdims=True) for one in (own, other))
    advantage = float(difference(own_total, other_total)[0])
    generator = np.random.default_rng(seed)
    drawn, swapped = [], []
    chunk = max(1, min(_CHUNK, _MOST_WEIGHTS // len(pair.targets)))
    for start in range(0, RESAMPLES, chunk):
        count = min(chunk, RESAMPLES - start)
        weights = resample_weights(pair.targets, count, generator)
        drawn.append(difference(weights @ own.rows, weights @ other.rows))
        first, second = swapped_sums(own.rows, other.rows, count, generator)
        swapped.append(sign * (own.from_sums(first) - own.from_sums(second)))
    confidence = _share(np.concatenate(drawn) > -margin)
    confidence_worse = _share(np.concatenate(drawn) < 0)
    if not margin:
        confidence = min(confidence, _share(np.concatenate(swapped) < advantage - 1e-12))
    return advantage, confidence, confidence_worse


def _share(holds: NDArray[np.bool_]) -> float:
    """Return the share of true values, always below 1 because the resamples are finite."""
    return 1 - (1 + int((~holds).sum())) / (len(holds) + 1)


def _needed(images: int, sure: float, confidence: float) -> int | None:
    """Return how many images would reach ``confidence``, None if no number would.

    The distance of the test statistic from 0 grows with the square root of the number of images.
    """
    if sure <= 0.5:
        return None
    found = float(norm.ppf(min(sure, 1 - 1e-12)))
    return math.ceil(images * max(1.0, float(norm.ppf(confidence)) / found) ** 2)
