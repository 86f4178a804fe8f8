"""Scores of predictions against targets; a number that is not finite is never passed on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """What a split came to.

    ``summary``: single numbers by name. ``per_class``: a row a class. ``confusion`` (C, C): rows
    are targets, columns predictions. ``reliability``: a row a bin of the confidence.
    """

    summary: dict[str, float]
    per_class: list[dict[str, Any]]
    confusion: Ints
    reliability: list[dict[str, float]]


def score(probabilities: Floats, targets: Ints, classes: Sequence[str], bins: int) -> Scores:
    """Score ``probabilities`` (N, C) against ``targets`` (N,), indices into ``classes``.

    Raises:
        ThawError: a probability is not finite.
    """
    if not np.isfinite(probabilities).all():
        raise ThawError("the model gives probabilities that are not finite: it was not registered")
    labels = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == targets).sum())
    interval = binomtest(correct, len(targets)).proportion_ci(0.95, method="wilson")
    rows = _per_class(predicted, targets, classes)
    reliability = calibration(probabilities, targets, bins)
    summary = {
        "accuracy": correct / len(targets),
        "accuracy_low": float(interval.low),
        "accuracy_high": float(interval.high),
        "macro_f1": float(np.mean([row["f1"] for row in rows if row["support"]])),
        "log_loss": float(log_loss(targets, probabilities, labels=labels)),
        "ece": expected_calibration_error(reliability),
        "worst_class_recall": min(row["recall"] for row in rows if row["support"]),
        "images": float(len(targets)),
    }
    for name, value in summary.items():
        if not math.isfinite(value):
            raise ThawError(f"{name} is {value}: the model was not registered")
    confusion = confusion_matrix(targets, predicted, labels=labels)
    return Scores(summary, rows, confusion, reliability)


def calibration(probabilities: Floats, targets: Ints, bins: int) -> list[dict[str, float]]:
    """The reliability curve: confidence against accuracy in ``bins`` equal parts of 0..1.

    Bins in which no image falls are left out.
    """
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == targets
    # bin b holds confidences in (b / bins, (b + 1) / bins]
    edges = np.array([index / bins for index in range(bins + 1)])
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return [
        {
            "low": index / bins,
            "high": (index + 1) / bins,
            "confidence": float(confidence[place == index].mean()),
            "accuracy": float(hit[place == index].mean()),
            "images": int((place == index).sum()),
        }
        for index in range(bins)
        if (place == index).any()
    ]


def expected_calibration_error(reliability: Sequence[dict[str, float]]) -> float:
    """The mean gap between confidence and accuracy, weighted by images, in 0..1.

    Source: Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017, equation 3.
    """
    total = sum(row["images"] for row in reliability)
    gaps = (row["images"] * abs(row["accuracy"] - row["confidence"]) for row in reliability)
    return float(sum(gaps) / total)


def _per_class(predicted: Ints, targets: Ints, classes: Sequence[str]) -> list[dict[str, Any]]:
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predicted, labels=np.arange(len(classes)), zero_division=0
    )
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
