"""A linear probe on the pooled output of every block: which are general, which are specific.

Source: Alain & Bengio 2017, Understanding intermediate layers using linear classifier probes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thaw.system.console import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Places of images: those to learn from, and those to ask about.
Fold = tuple["NDArray[np.int64]", "NDArray[np.int64]"]
_FOLDS = 5
_MOST = 2000  # images: enough to tell blocks apart, and seconds
_STRENGTH = 0.01  # on features of unit variance
_ITERATIONS = 200


@dataclass(frozen=True)
class Probe:
    """The cross-validated accuracy of a linear classifier on some blocks' pooled outputs."""

    blocks: tuple[int, ...]
    width: int
    accuracy: float
    error: float  # standard error of the accuracy

    @property
    def name(self) -> str:
        """The block's number, or the range of them."""
        first, last = self.blocks[0], self.blocks[-1]
        return str(last) if first == last else f"{first} to {last}"


def probe_all(
    features: NDArray[np.float32],
    widths: Sequence[int],
    targets: NDArray[np.int64],
    groups: NDArray[np.str_],
    seed: int,
    *,
    show: bool = True,
) -> tuple[list[Probe], list[Probe]]:
    """Probes of each block alone, and of the last two, three, ... all of them side by side.

    ``features`` (N, the sum of ``widths``) are the blocks' outputs, side by side. Images of one
    of the ``groups`` (N,) are never asked about where another of them was learnt from.
    """
    kept = _drawn(targets, seed, _MOST)
    features, targets = features[kept], targets[kept]
    folds = _folds(targets, groups[kept], seed)
    edges = [0, *np.cumsum(widths)]
    count = len(widths)
    single = [(number,) for number in range(1, count + 1)]
    joined = [tuple(range(first, count + 1)) for first in range(count - 1, 0, -1)]
    wanted = progress([*single, *joined], "probing", len(single) + len(joined), show=show)
    probes = [
        _probe(blocks, features[:, edges[blocks[0] - 1] : edges[blocks[-1]]], targets, folds)
        for blocks in wanted
    ]
    return probes[:count], probes[count:]


def told_apart(
    features: NDArray[np.float32],
    split: NDArray[np.int64],
    groups: NDArray[np.str_],
    seed: int,
) -> tuple[float, float]:
    """How well a linear classifier tells training (0) from validation (1) images; chance's error.

    Cross-validated balanced accuracy: 0.5 is chance, 1 is always right; and the standard error
    that guessing would have (with its own, some few images that are all told would be certain).
    Source: Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests.
    """
    of_each = [np.flatnonzero(split == which) for which in (0, 1)]
    kept = np.concatenate([places[_drawn(split[places], seed, _MOST // 2)] for places in of_each])
    features, split = features[kept], split[kept]
    folds = _folds(split, groups[kept], seed)
    predicted = _predictions(features, split, folds, balanced=True)
    shares = [float(np.mean(predicted[split == which] == which)) for which in (0, 1)]
    variance = np.sum(0.25 / np.bincount(split, minlength=2)) / 4
    return sum(shares) / 2, float(np.sqrt(variance))


def _probe(
    blocks: tuple[int, ...],
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    folds: Sequence[Fold],
) -> Probe:
    predicted = _predictions(features, targets, folds)
    accuracy = float(np.mean(predicted == targets))
    error = float(np.sqrt(accuracy * (1 - accuracy) / len(targets)))
    return Probe(blocks, features.shape[1], accuracy, error)


def _predictions(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    folds: Sequence[Fold],
    *,
    balanced: bool = False,
) -> NDArray[np.int64]:
    """What a linear classifier says of images that it was not fitted on; -1 where it cannot."""
    # Late: the stage unfreeze imports this module, and needs it for `auto` alone.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weights = "balanced" if balanced else None
    predicted = np.full(len(targets), -1)
    for learnt, asked in folds:
        if len(np.unique(targets[learnt])) < 2:  # of a rare class all images are asked about
            predicted[asked] = targets[learnt][0] if len(learnt) else -1
            continue
        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS, tol=1e-3, class_weight=weights),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged to the last digit: it need not be
            predicted[asked] = model.fit(features[learnt], targets[learnt]).predict(features[asked])
    return predicted


def _folds(targets: NDArray[np.int64], groups: NDArray[np.str_], seed: int) -> list[Fold]:
    """Places to learn from and places to ask about, each place once; stratified, groups whole.

    A class of fewer images than folds is missing from some. There are no folds where no class has
    two images, or all are copies of one.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(_FOLDS, int(np.bincount(targets).max()), len(np.unique(groups)))
    if count < 2:
        return []
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds
        folds = list(split.split(targets, targets, groups))
    return [(learnt, asked) for learnt, asked in folds if len(asked)]


def _drawn(targets: NDArray[np.int64], seed: int, most: int) -> NDArray[np.int64]:
    """Places of at most ``most`` images, ascending: of each class its share.

    But of a rare class as many as there are folds, so that none is lost.
    """
    count = len(targets)
    if count <= most:
        return np.arange(count)
    order = np.random.Generator(np.random.Philox(key=[seed, count])).permutation(count)
    by_class = order[np.argsort(targets[order], kind="stable")]
    sizes = np.bincount(targets)
    rank = np.empty(count, dtype=np.int64)  # of an image within its class
    rank[by_class] = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = np.maximum(0, rank - (_FOLDS - 1)) / sizes[targets]
    return np.sort(np.lexsort((rank, share))[:most])
