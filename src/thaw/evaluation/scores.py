"""Scores of predictions on a split. A score that is not finite is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.errors import ThawError
from thaw.metrics.registry import METRICS
from thaw.metrics.uncertainty import share_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.metrics.predictions import Predictions


@dataclass(frozen=True)
class Scores:
    """The scores of predictions on a split.

    ``summary`` has every metric of the registry by name, the 95 % interval of the accuracy
    (``accuracy_low``, ``accuracy_high``) and the number of ``images``. ``per_class`` has one row
    per class, ``reliability`` one row per bin of the confidence. ``confusion`` is (C, C): rows are
    targets, columns are predictions.
    """

    summary: dict[str, float]
    per_class: list[dict[str, Any]]
    confusion: NDArray[np.int64]
    reliability: list[dict[str, float]]


@dataclass(frozen=True)
class Result:
    """The test split's ids, targets, probabilities (N, C) and scores.

    ``uncalibrated``: the scores before calibration, where that changes the probabilities. ``tta``:
    the scores with test-time augmentation, where there is any.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    scores: Scores
    uncalibrated: Scores | None = None
    tta: Scores | None = None


def score(predictions: Predictions, classes: Sequence[str]) -> Scores:
    """Return the scores of ``predictions``, whose targets are indices into ``classes``.

    Raises:
        ThawError: a probability or a score is not finite.
    """
    from sklearn.metrics import confusion_matrix

    if not np.isfinite(predictions.probabilities).all():
        raise ThawError(
            "the model gives probabilities that are not finite: it was not registered; lower "
            "unfreeze.lr, or set launch.precision to fp32, then run `dvc repro`"
        )
    summary = _summary(predictions)
    for name, value in summary.items():
        if not math.isfinite(value):
            raise ThawError(
                f"{name} is {value}: the model was not registered; lower unfreeze.lr, then run "
                "`dvc repro`"
            )
    labels = np.arange(len(classes))
    return Scores(
        summary=summary,
        per_class=_per_class(predictions, classes),
        confusion=confusion_matrix(predictions.targets, predictions.predicted, labels=labels),
        reliability=reliability_curve(predictions),
    )


def _summary(predictions: Predictions) -> dict[str, float]:
    correct, images = int(predictions.is_correct.sum()), len(predictions.targets)
    low, high = share_interval(correct, images)
    return {
        **{name: metric.value(predictions) for name, metric in METRICS.items()},
        "accuracy_low": low,
        "accuracy_high": high,
        "images": float(images),
    }


def reliability_curve(predictions: Predictions) -> list[dict[str, float]]:
    """Return confidence, accuracy and number of images of each bin that holds images."""
    bins, places = predictions.bins, predictions.confidence_bins
    return [
        {
            "low": index / bins,
            "high": (index + 1) / bins,
            "confidence": float(predictions.confidences[places == index].mean()),
            "accuracy": float(predictions.is_correct[places == index].mean()),
            "images": int((places == index).sum()),
        }
        for index in range(bins)
        if (places == index).any()
    ]


def _per_class(predictions: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
    precision, recall, f1, support = predictions.per_class
    return [
        {
            "class": label,
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": int(support[index]),
        }
        for index, label in enumerate(classes)
    ]
