"""Linear probes on the pooled output of every block, and a test whether two splits differ.

Source: Alain & Bengio 2017, Understanding intermediate layers using linear classifier probes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from thaw.advice.folds import stratified_folds, subsample
from thaw.system.blas_threads import threads_for
from thaw.system.console import progress
from thaw.training.linear_paths import scaling_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.advice.folds import Fold

_MOST_IMAGES = 2000  # enough to compare blocks, within seconds
_INVERSE_REGULARIZATION = 0.01  # C of scikit-learn, for features of unit variance
_ITERATIONS = 200


@dataclass(frozen=True)
class Probe:
    """The cross-validated accuracy of a linear classifier on the pooled outputs of some blocks.

    ``blocks`` are counted from 1. ``width`` is the number of features. ``error`` is the standard
    error of the accuracy.
    """

    blocks: tuple[int, ...]
    width: int
    accuracy: float
    error: float

    @property
    def name(self) -> str:
        """Return the number of the block, or the range of numbers."""
        first, last = self.blocks[0], self.blocks[-1]
        return str(last) if first == last else f"{first} to {last}"


class SplitTest(NamedTuple):
    """The balanced accuracy of a classifier that separates training from validation images.

    0.5 is chance, 1 is always right. ``chance_error`` is the standard error of guessing.
    """

    accuracy: float
    chance_error: float


def probe_blocks(
    features: NDArray[np.float32],
    widths: Sequence[int],
    targets: NDArray[np.int64],
    groups: NDArray[np.str_],
    seed: int,
    *,
    show: bool = True,
) -> tuple[list[Probe], list[Probe]]:
    """Return the probes of each block alone, and of the last two, three, ... all blocks together.

    ``features`` (N, the sum of ``widths``) are the pooled outputs of the blocks, side by side.
    Images of one of the ``groups`` (N,) are always in the same fold.
    """
    kept = subsample(targets, seed, _MOST_IMAGES)
    features, targets = features[kept], targets[kept]
    folds = stratified_folds(targets, groups[kept], seed)
    edges = [0, *np.cumsum(widths)]
    count = len(widths)
    single = [(number,) for number in range(1, count + 1)]
    joined = [tuple(range(first, count + 1)) for first in range(count - 1, 0, -1)]
    selections = progress([*single, *joined], "probing", len(single) + len(joined), show=show)
    probes = [
        _probe(blocks, features[:, edges[blocks[0] - 1] : edges[blocks[-1]]], targets, folds)
        for blocks in selections
    ]
    return probes[:count], probes[count:]


def split_test(
    features: NDArray[np.float32],
    is_validation: NDArray[np.int64],
    groups: NDArray[np.str_],
    seed: int,
) -> SplitTest:
    """Return how well a linear classifier separates training (0) from validation (1) images.

    The accuracy is cross-validated. The standard error is that of guessing: the error of the
    accuracy itself would be 0 if a few images were all classified correctly.

    Source: Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests.
    """
    kept = []
    for split in (0, 1):
        indices = np.flatnonzero(is_validation == split)
        kept.append(indices[subsample(is_validation[indices], seed, _MOST_IMAGES // 2)])
    chosen = np.concatenate(kept)
    features, labels = features[chosen], is_validation[chosen]
    folds = stratified_folds(labels, groups[chosen], seed)
    predicted = _predictions(features, labels, folds, balanced=True)
    recalls = [float(np.mean(predicted[labels == split] == split)) for split in (0, 1)]
    variance = np.sum(0.25 / np.bincount(labels, minlength=2)) / 4
    return SplitTest(sum(recalls) / 2, float(np.sqrt(variance)))


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
    """Return the predicted class of each image by a classifier that was not fitted on it.

    It is -1 for images that are in no fold, or if there is nothing to fit on.
    """
    # Imported here: the stage unfreeze imports this module and needs scikit-learn for `auto` only.
    from sklearn.linear_model import LogisticRegression

    weights = "balanced" if balanced else None
    predicted = np.full(len(targets), -1)
    for fold in folds:
        classes = np.unique(targets[fold.fit])
        if len(classes) < 2:  # all images of a rare class are to be predicted
            predicted[fold.predict] = classes[0] if len(classes) else -1
            continue
        scaling = scaling_of(features[fold.fit].astype(np.float64))
        scaled = ((features - scaling.mean) / scaling.deviation).astype(np.float32)
        model = LogisticRegression(
            C=_INVERSE_REGULARIZATION, max_iter=_ITERATIONS, tol=1e-3, class_weight=weights
        )
        with threads_for(features.size * len(classes)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of incomplete convergence, which suffices
            model.fit(scaled[fold.fit], targets[fold.fit])
            predicted[fold.predict] = model.predict(scaled[fold.predict])
    return predicted
