"""The images that candidates are compared on, and the folds of the cross-validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from thaw.advice.folds import FOLDS, Fold, stratified_folds, subsample
from thaw.data.loading import ImageSource
from thaw.data.split_names import TRAIN, VAL
from thaw.ingest.duplicates import difference_hash, near_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.data.prepared import Prepared
    from thaw.data.preprocessing import Preprocessing

NEAR = 5  # bits of the difference hash from which images are near-duplicates
_MOST_OF_ALL, _MOST_OF_A_CLASS = 1 / FOLDS, 0.5  # shares of the images that one group may have


@dataclass(frozen=True)
class Development:
    """Images of the training and validation splits; the test split is never read.

    ``ids`` (N,) and ``targets`` (N,) are those of a sample, stratified by class. Duplicates and
    near-duplicates are in one of ``folds``.
    """

    data: Prepared
    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    is_validation: NDArray[np.bool_]
    groups: NDArray[np.str_]
    folds: list[Fold]

    def source(self, preprocessing: Preprocessing) -> ImageSource:
        """Return the images as inputs of a network."""
        return ImageSource(self.data.store, self.ids, self.data.manifest.targets, preprocessing)

    def by_split(self) -> Development:
        """Return the same images in one fold: training images predict those of validation.

        Where validation images look different, as those in use do, a fold of both would hide it.
        There is no fold if the sample has images of one split only.
        """
        places = np.arange(len(self.ids))
        fold = Fold(places[~self.is_validation], places[self.is_validation])
        return replace(self, folds=[fold] if len(fold.fit) and len(fold.predict) else [])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Return the indices of the images that a fold predicts, ascending."""
        return np.sort(np.concatenate([fold.predict for fold in self.folds]))


def development(data: Prepared, most: int, seed: int) -> Development:
    """Return at most ``most`` images of training and validation, in stratified folds."""
    train, val = data.manifest.ids(TRAIN), data.manifest.ids(VAL)
    ids = np.concatenate([train, val])
    is_validation = np.repeat([False, True], [len(train), len(val)])
    kept = subsample(data.manifest.targets[ids], seed, most)
    ids, is_validation = ids[kept], is_validation[kept]
    targets = data.manifest.targets[ids]
    groups = _groups(data, ids)
    return Development(
        data, ids, targets, is_validation, groups, stratified_folds(targets, groups, seed)
    )


def _groups(data: Prepared, ids: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the group (N,) of duplicates and near-duplicates of each image.

    Simple drawings, digits and icons have similar hashes: a chain of them can join most images, or
    a whole class, which no fold could predict. Then near-duplicates are those of fewer bits.
    """
    digests = [data.manifest.rows[image_id].digest for image_id in ids]
    hashes = [difference_hash(data.store.read(int(image_id))) for image_id in ids]
    targets = data.manifest.targets[ids]
    for bits in range(NEAR, 0, -1):
        groups = np.array(near_groups(digests, hashes, bits))
        if not _is_too_large(groups, targets):
            return groups
    return np.array(digests)


def _is_too_large(groups: NDArray[np.str_], targets: NDArray[np.int64]) -> bool:
    """Return whether a group has too many of all images, or of those of a class."""
    if not len(groups):
        return False
    _, numbers = np.unique(groups, return_inverse=True)
    if np.bincount(numbers).max() > max(1, _MOST_OF_ALL * len(groups)):
        return True
    of_class = (np.bincount(numbers[targets == label]) for label in np.unique(targets))
    return any(sizes.max() > max(1, _MOST_OF_A_CLASS * sizes.sum()) for sizes in of_class)
