"""Samples and folds for cross-validation, the same for the same images and seed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from thaw.data.random_draws import shuffled

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5


class Fold(NamedTuple):
    """Indices of the images to fit on, and of those to predict."""

    fit: NDArray[np.int64]
    predict: NDArray[np.int64]


def stratified_folds(targets: NDArray[np.int64], groups: NDArray[np.str_], seed: int) -> list[Fold]:
    """Return stratified folds that keep groups together; each image is predicted in one fold.

    A class with fewer images than folds is missing in some. There are no folds if no class has two
    images, or all images are one group, or there are no images.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(FOLDS, int(np.bincount(targets).max(initial=0)), len(np.unique(groups)))
    if count < 2:
        return []
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds
        folds = list(split.split(targets, targets, groups))
    return [Fold(fit, predict) for fit, predict in folds if len(predict)]


def subsample(targets: NDArray[np.int64], seed: int, most: int) -> NDArray[np.int64]:
    """Return the indices of at most ``most`` images, ascending, stratified by class.

    Each class keeps at least as many images as there are folds, if it has them.
    """
    count = len(targets)
    if count <= most:
        return np.arange(count)
    order = shuffled(count, seed, epoch=count)  # not an epoch: another order for another size
    by_class = order[np.argsort(targets[order], kind="stable")]
    sizes = np.bincount(targets)
    rank = np.empty(count, dtype=np.int64)  # random rank of an image within its class
    rank[by_class] = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    priority = np.maximum(0, rank - (FOLDS - 1)) / sizes[targets]
    return np.sort(np.lexsort((rank, priority))[:most])
