"""Out-of-fold logits of linear heads on frozen features, along a path of strengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thaw.system.blas_threads import threads_for
from thaw.training.calibration import calibrated_losses
from thaw.training.linear_paths import path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.advice.folds import Fold
    from thaw.literals import LinearFit

_MISSING = 10.0  # nats by which a class without a training image is below the least likely one


@dataclass(frozen=True)
class OutOfFold:
    """The prediction of each image by heads that were not fitted to it.

    ``logits`` (N, C) and ``losses`` (N,), the calibrated log-losses in nats, are of the strength
    that is best on the other folds. ``strength`` is the best one on all folds.
    """

    logits: NDArray[np.float64]
    losses: NDArray[np.float64]
    strength: float


def out_of_fold(
    kind: LinearFit,
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    folds: Sequence[Fold],
    strengths: Sequence[float],
    *,
    balanced: bool = False,
) -> OutOfFold:
    """Return predictions of ``features`` (N, F) by heads that were fitted to the other folds.

    Images that no fold predicts are left out of the result, in ascending order. The strength of a
    fold is chosen by the losses of the other folds, so that an image has no part in the choice of
    the strength by which it is predicted. With a single fold it has.
    """
    predicted = np.sort(np.concatenate([fold.predict for fold in folds]))
    classes = int(targets.max()) + 1
    logits = np.zeros((len(strengths), len(targets), classes))
    for fold in folds:
        known, numbered = np.unique(targets[fold.fit], return_inverse=True)
        if len(known) < 2:
            logits[:, fold.predict, known] = _MISSING
            continue
        with threads_for(len(fold.fit) * features.shape[1] * classes):
            fitted = path(kind, (features[fold.fit], numbered), strengths, balanced=balanced)
        wanted = features[fold.predict].astype(np.float64)
        for number, linear in enumerate(fitted):
            scores = linear.logits(wanted)
            logits[number, fold.predict] = scores.min(axis=1, keepdims=True) - _MISSING
            logits[number, fold.predict[:, None], known] = scores
    logits = logits[:, predicted]
    targets = targets[predicted]
    losses = np.stack([calibrated_losses(each, targets) for each in logits])
    place = _places(folds, predicted)
    chosen = np.array([_best(losses, place != number, place) for number in range(len(folds))])
    rows = np.arange(len(predicted))
    return OutOfFold(
        logits[chosen[place], rows], losses[chosen[place], rows],
        strengths[int(losses.mean(axis=1).argmin())],
    )  # fmt: skip


def _places(folds: Sequence[Fold], predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the fold that predicts each of the images ``predicted``."""
    order = np.concatenate([fold.predict for fold in folds])
    numbers = np.repeat(np.arange(len(folds)), [len(fold.predict) for fold in folds])
    return np.asarray(numbers[np.argsort(order)][: len(predicted)])


def _best(losses: NDArray[np.float64], others: NDArray[np.bool_], place: NDArray[np.int64]) -> int:
    """Return the number of the strength with the lowest loss on ``others``; on all if none."""
    used = others if others.any() else np.ones(len(place), dtype=bool)
    return int(losses[:, used].mean(axis=1).argmin())
