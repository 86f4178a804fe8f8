"""Is a challenger better than a champion, or not worse? Paired tests on the same images.

Accuracy: McNemar's exact test; with a margin, the exact unconditional test for paired binary
outcomes (Hsueh, Liu & Chen 2001) on Tango's score statistic (1998), which is McNemar's at a margin
of 0. The other metrics: a paired bootstrap over the images, within the classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.promotion_sections import Metric

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

RESAMPLES = 4000
FEWEST = 30  # images below which a bootstrap says nothing
_CHUNK = 500
_LOWER_IS_BETTER = ("log_loss", "ece")


@dataclass(frozen=True)
class Compared:
    """What a paired test says.

    ``advantage``: by how much the challenger is better, in the metric's units. ``confidence``,
    0..1, that it is above minus the margin; ``doubt``, that it is below 0. ``images``: how many
    images are there, and ``needed`` how many would have to be, if the advantage stayed as it is:
    None where no number would help.
    """

    advantage: float
    confidence: float
    doubt: float
    images: int
    needed: int | None


@dataclass(frozen=True)
class Pair:
    """Both models' probabilities (N, C) for the same images, and the images' targets (N,)."""

    challenger: Floats
    champion: Floats
    targets: Ints
    bins: int


def compare(
    pair: Pair, metric: Metric, *, margin: float, confidence: float, seed: int = 0
) -> Compared:
    """Test that the challenger is better (margin 0), or not worse by ``margin`` or more."""
    if metric == "accuracy":
        advantage, sure, doubt = _accuracy(pair, margin)
        fewest = 0
    else:
        advantage, sure, doubt = _resampling(pair, metric, margin, seed)
        fewest = fewest_images(metric, margin, confidence)
    images = len(pair.targets)
    if metric == "worst_class_recall":  # the smallest class says how much can be told
        images = int(np.bincount(pair.targets)[np.unique(pair.targets)].min())
    if images < fewest:
        return Compared(advantage, min(sure, 0.5), min(doubt, 0.5), images, fewest)
    return Compared(advantage, sure, doubt, images, _needed(images, sure, confidence))


def fewest_images(metric: Metric, margin: float, confidence: float) -> int:
    """Images (of the smallest class, for the worst recall) below which a bootstrap cannot tell.

    Where no image came out differently, all resamples agree, but a difference of ``margin``
    would go unseen with probability (1 - margin) ** N: the rule of three.
    """
    if metric in {"macro_f1", "worst_class_recall"} and margin > 0:
        return max(FEWEST, math.ceil(math.log(1 - confidence) / math.log1p(-min(margin, 0.99))))
    return FEWEST


def mcnemar(wins: int, losses: int) -> float:
    """The p-value of "not better": one-sided, exact.

    ``wins`` and ``losses`` count the images that only the one or the other model gets right.
    Source: McNemar 1947; exact by the binomial distribution.
    """
    return float(binom.sf(wins - 1, wins + losses, 0.5))


def not_worse(wins: int, losses: int, images: int, margin: float) -> float:
    """The p-value of "worse by ``margin`` or more"; exact: largest over the unknown win rate."""
    observed = _score(np.array(wins), np.array(losses), images, margin)
    lost = np.arange(images + 1)
    least = _least_wins(lost, images, margin, float(observed))
    largest = 0.0
    for win_rate in (1 - margin) / 2 * np.linspace(0.0, 1.0, 101) ** 2:
        loss_rate = win_rate + margin
        chance = binom.pmf(lost, images, loss_rate)
        seen = chance > 1e-12
        rate = min(win_rate / max(1 - loss_rate, 1e-12), 1.0)
        tail = binom.sf(least[seen] - 1, images - lost[seen], rate)
        largest = max(largest, float(chance[seen] @ tail))
    return min(largest, 1.0)


def _score(wins: Ints, losses: Ints, images: int, margin: float) -> Floats:
    """Tango's statistic: wins - losses + margin * images over its deviation at the margin."""
    middle = wins + losses + (losses - wins) * margin - 2 * images * margin
    spread = np.sqrt(middle**2 + 8 * images * wins * margin * (1 - margin))
    win_rate = (middle + spread) / (4 * images)
    variance = images * (2 * win_rate + margin * (1 - margin))
    score: Floats = (wins - losses + images * margin) / np.sqrt(np.maximum(variance, 1e-12))
    return score


def _least_wins(losses: Ints, images: int, margin: float, observed: float) -> Ints:
    """For each number of losses, the fewest wins that are as good as what was observed."""
    low, high = np.zeros_like(losses), images - losses + 1
    while (low < high).any():
        middle = (low + high) // 2
        good = _score(middle, losses, images, margin) >= observed - 1e-9
        low, high = np.where(good | (low >= high), low, middle + 1), np.where(good, middle, high)
    return low


def _accuracy(pair: Pair, margin: float) -> tuple[float, float, float]:
    right, known = (
        probabilities.argmax(axis=1) == pair.targets
        for probabilities in (pair.challenger, pair.champion)
    )
    wins, losses = int((right & ~known).sum()), int((known & ~right).sum())
    images = len(right)
    p = not_worse(wins, losses, images, margin) if margin else mcnemar(wins, losses)
    return (wins - losses) / images, 1 - p, 1 - mcnemar(losses, wins)


def _resampling(pair: Pair, metric: Metric, margin: float, seed: int) -> tuple[float, float, float]:
    """(advantage, confidence that it is above -margin, confidence that it is below 0).

    Where few images differ, the bootstrap is too sure: of 4 wins and no loss, 98 % of the resamples
    hold a win, but equal models bring that about once in 16 times. So "better" must also hold when
    the models swap their outputs at random (Yeh 2000), which is exact for equal models.
    """
    sign = -1.0 if metric in _LOWER_IS_BETTER else 1.0
    own, other = (
        _Statistic(metric, probabilities, pair.targets, pair.bins)
        for probabilities in (pair.challenger, pair.champion)
    )
    advantage = sign * float((own(own.rows.sum(axis=0)) - other(other.rows.sum(axis=0)))[0])
    generator = np.random.default_rng(seed)
    drawn, swapped = [], []
    for _ in range(0, RESAMPLES, _CHUNK):
        weights = _resample(pair.targets, _CHUNK, generator)
        drawn.append(sign * (own(weights @ own.rows) - other(weights @ other.rows)))
        stays = generator.integers(0, 2, weights.shape).astype(np.float64)
        mixed = stays @ own.rows + (1 - stays) @ other.rows
        rest = own.rows.sum(axis=0) + other.rows.sum(axis=0) - mixed
        swapped.append(sign * (own(mixed) - own(rest)))
    sure = _share(np.concatenate(drawn) > -margin)
    doubt = _share(np.concatenate(drawn) < 0)
    if not margin:
        sure = min(sure, _share(np.concatenate(swapped) < advantage - 1e-12))
    return advantage, sure, doubt


def _share(holds: NDArray[np.bool_]) -> float:
    """How often it holds; never quite always, for the resamples are finite."""
    return 1 - (1 + int((~holds).sum())) / (len(holds) + 1)


def _resample(targets: Ints, count: int, generator: np.random.Generator) -> Floats:
    """How often each image is drawn, (count, N); every class keeps its number of images."""
    weights = np.zeros((count, len(targets)))
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        shares = np.full(len(members), 1 / len(members))
        weights[:, members] = generator.multinomial(len(members), shares, size=count)
    return weights


class _Statistic:
    """A metric as a function of sums over the images alone: of ``rows`` (N, K).

    Sums (R, K) -> the metric (R,), for the same number of images of each class.
    """

    def __init__(self, metric: Metric, probabilities: Floats, targets: Ints, bins: int) -> None:
        self._metric = metric
        self._images = len(targets)
        predicted, labels = probabilities.argmax(axis=1), np.unique(targets)
        hit = predicted == targets
        self._support = np.bincount(targets)[labels]
        if metric == "log_loss":
            tiny = np.finfo(probabilities.dtype).eps
            likely = probabilities[np.arange(len(targets)), targets]
            self.rows = -np.log(np.clip(likely, tiny, 1 - tiny))[:, None]
        elif metric == "ece":
            confidence = probabilities.max(axis=1)
            edges = np.arange(bins + 1) / bins
            place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
            self.rows = (hit - confidence)[:, None] * (place[:, None] == np.arange(bins))
        else:
            hits = hit[:, None] & (targets[:, None] == labels)
            self.rows = np.hstack([hits, predicted[:, None] == labels]).astype(np.float64)

    def __call__(self, sums: Floats) -> Floats:
        sums = np.atleast_2d(sums)
        classes = len(self._support)
        result: Floats
        if self._metric in {"log_loss", "ece"}:
            result = np.abs(sums).sum(axis=1) / self._images
        elif self._metric == "macro_f1":
            result = (2 * sums[:, :classes] / (sums[:, classes:] + self._support)).mean(axis=1)
        else:
            result = (sums[:, :classes] / self._support).min(axis=1)
        return result


def _needed(images: int, sure: float, confidence: float) -> int | None:
    """How many images would tell: the test's distance from 0 grows with their square root."""
    if sure <= 0.5:
        return None
    found = float(norm.ppf(min(sure, 1 - 1e-12)))
    return math.ceil(images * max(1.0, float(norm.ppf(confidence)) / found) ** 2)
