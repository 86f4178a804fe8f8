"""The registry of metrics: one entry has the name, the direction and the functions of a metric.

Evaluation, gate, search, tables and the checks of ``params.yaml`` read it. To add a metric, add an
entry to ``METRICS``; nothing else changes. The registry lies below the configuration, which takes
the valid names from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thaw.metrics.uncertainty import exact_intervals, share_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from thaw.metrics.predictions import Predictions

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PerImage:
    """A metric as a function of sums over images, so that it can be resampled quickly.

    ``rows`` (N, K) has K numbers per image. ``from_sums`` maps R weighted sums of the rows, (R, K),
    to R values of the metric, (R,); the weights keep the number of images of each class.
    """

    rows: Floats
    from_sums: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Quantity:
    """A number that the gate can bound: its name, its label in tables and its direction."""

    name: str
    label: str
    higher_is_better: bool


@dataclass(frozen=True)
class Metric(Quantity):
    """A score of predictions on a split.

    ``value`` computes it; ``per_image`` is the form that paired tests resample. Further fields:

    - ``uses_probabilities``: changes with the probabilities even if no predicted class changes.
    - ``is_share_correct``: the share of correct images, for which exact paired tests exist.
    - ``limited_by_smallest_class``: its precision depends on the class with the fewest images.
    - ``is_brief``: ``thaw status`` has a column for it.
    - ``interval``: computes the 95 % interval, where another method is better than a bootstrap.
    """

    value: Callable[[Predictions], float]
    per_image: Callable[[Predictions], PerImage]
    uses_probabilities: bool = False
    is_share_correct: bool = False
    limited_by_smallest_class: bool = False
    is_brief: bool = False
    interval: Callable[[Predictions], tuple[float, float]] | None = None


def _accuracy(predictions: Predictions) -> float:
    return int(predictions.is_correct.sum()) / len(predictions.targets)


def _accuracy_per_image(predictions: Predictions) -> PerImage:
    images = len(predictions.targets)
    return PerImage(_column(predictions.is_correct), lambda sums: sums[:, 0] / images)


def _accuracy_interval(predictions: Predictions) -> tuple[float, float]:
    return share_interval(int(predictions.is_correct.sum()), len(predictions.targets))


def _macro_f1(predictions: Predictions) -> float:
    _, _, f1, support = predictions.per_class
    return float(np.mean(f1[support > 0]))


def _macro_f1_per_image(predictions: Predictions) -> PerImage:
    hits, support = _hits(predictions), predictions.support
    rows = np.hstack([hits, predictions.predicted[:, None] == predictions.present])
    classes = hits.shape[1]

    def from_sums(sums: Floats) -> Floats:
        f1: Floats = 2 * sums[:, :classes] / (sums[:, classes:] + support)
        return np.asarray(f1.mean(axis=1))

    return PerImage(rows.astype(np.float64), from_sums)


def _log_loss(predictions: Predictions) -> float:
    from sklearn.metrics import log_loss

    labels = np.arange(predictions.probabilities.shape[1])
    return float(log_loss(predictions.targets, predictions.probabilities, labels=labels))


def _log_loss_per_image(predictions: Predictions) -> PerImage:
    images = len(predictions.targets)
    tiny = np.finfo(predictions.probabilities.dtype).eps
    likely = predictions.probabilities[np.arange(images), predictions.targets]
    losses = -np.log(np.clip(likely, tiny, 1 - tiny))
    return PerImage(_column(losses), lambda sums: np.abs(sums).sum(axis=1) / images)


def _ece(predictions: Predictions) -> float:
    """Return the mean gap between confidence and accuracy over the bins, weighted by images.

    Source: Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017, equation 3.
    """
    gaps = []
    for index in range(predictions.bins):
        inside = predictions.confidence_bins == index
        if inside.any():
            accuracy = float(predictions.is_correct[inside].mean())
            confidence = float(predictions.confidences[inside].mean())
            gaps.append(int(inside.sum()) * abs(accuracy - confidence))
    return float(sum(gaps) / len(predictions.targets))


def _ece_per_image(predictions: Predictions) -> PerImage:
    images = len(predictions.targets)
    gaps = predictions.is_correct - predictions.confidences
    is_in_bin = predictions.confidence_bins[:, None] == np.arange(predictions.bins)
    return PerImage(gaps[:, None] * is_in_bin, lambda sums: np.abs(sums).sum(axis=1) / images)


def _worst_class_recall(predictions: Predictions) -> float:
    _, recall, _, support = predictions.per_class
    return float(recall[support > 0].min())


def _worst_class_recall_per_image(predictions: Predictions) -> PerImage:
    support = predictions.support
    rows = _hits(predictions).astype(np.float64)
    return PerImage(rows, lambda sums: np.asarray((sums / support).min(axis=1)))


def _worst_class_recall_interval(predictions: Predictions) -> tuple[float, float]:
    """Return an interval from those of all classes, which hold together with 95 %.

    A bootstrap takes the smallest of the classes a second time, so that its values are too low.
    """
    hits, support = _hits(predictions).sum(axis=0), predictions.support.astype(np.int64)
    lows, highs = exact_intervals(hits, support, 1 - 0.05 / len(hits))
    return float(lows.min()), float(highs.min())


def _hits(predictions: Predictions) -> NDArray[np.bool_]:
    """Return whether an image is correct and of a class, for each class in ``present``."""
    of_class = predictions.targets[:, None] == predictions.present
    return np.asarray(predictions.is_correct[:, None] & of_class)


def _column(values: NDArray[np.generic]) -> Floats:
    return values.astype(np.float64)[:, None]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="accuracy",
            label="accuracy",
            higher_is_better=True,
            value=_accuracy,
            per_image=_accuracy_per_image,
            is_share_correct=True,
            is_brief=True,
            interval=_accuracy_interval,
        ),
        Metric(
            name="macro_f1",
            label="macro F1",
            higher_is_better=True,
            value=_macro_f1,
            per_image=_macro_f1_per_image,
        ),
        Metric(
            name="log_loss",
            label="log-loss",
            higher_is_better=False,
            value=_log_loss,
            per_image=_log_loss_per_image,
            uses_probabilities=True,
            is_brief=True,
        ),
        Metric(
            name="ece",
            label="ECE",
            higher_is_better=False,
            value=_ece,
            per_image=_ece_per_image,
            uses_probabilities=True,
        ),
        Metric(
            name="worst_class_recall",
            label="worst recall",
            higher_is_better=True,
            value=_worst_class_recall,
            per_image=_worst_class_recall_per_image,
            limited_by_smallest_class=True,
            is_brief=True,
            interval=_worst_class_recall_interval,
        ),
    )
}

# What is measured of a model in its deployment form, beside the scores of its predictions.
COSTS: dict[str, Quantity] = {
    cost.name: cost
    for cost in (
        Quantity("latency_ms", "latency (ms)", higher_is_better=False),
        Quantity("size_mb", "size (MB)", higher_is_better=False),
    )
}
