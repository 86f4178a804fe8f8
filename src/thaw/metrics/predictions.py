"""Predictions of a model on a split, and what several metrics derive from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Probabilities (N, C) of N images, and their targets (N,), which are class indices.

    ``bins`` is the number of equal bins of the confidence, for measures of calibration.
    """

    probabilities: Floats
    targets: Ints
    bins: int

    @cached_property
    def predicted(self) -> Ints:
        """The most probable class of each image, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def is_correct(self) -> NDArray[np.bool_]:
        """The correctness of each predicted class, (N,)."""
        return np.equal(self.predicted, self.targets)

    @cached_property
    def confidences(self) -> Floats:
        """The probability of the predicted class, (N,)."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def confidence_bins(self) -> Ints:
        """The bin of each confidence, (N,); bin b holds values in (b / bins, (b + 1) / bins]."""
        edges = np.arange(self.bins + 1) / self.bins
        places = np.searchsorted(edges, self.confidences, side="left") - 1
        return np.clip(places, 0, self.bins - 1)

    @cached_property
    def present(self) -> Ints:
        """The classes that have at least one image, sorted."""
        return np.unique(self.targets)

    @cached_property
    def support(self) -> Floats:
        """The number of images of each class in ``present``."""
        return np.bincount(self.targets)[self.present].astype(np.float64)

    @cached_property
    def per_class(self) -> tuple[Floats, Floats, Floats, Ints]:
        """Precision, recall, F1 and number of images of each of the C classes."""
        from sklearn.metrics import precision_recall_fscore_support

        labels = np.arange(self.probabilities.shape[1])
        precision, recall, f1, support = precision_recall_fscore_support(
            self.targets, self.predicted, labels=labels, zero_division=0
        )
        return precision, recall, f1, support
