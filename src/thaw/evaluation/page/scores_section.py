"""The sections on the test split: scores with intervals, classes, mistakes, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.evaluation.page.heat_maps import heat_maps, overlaid
from thaw.evaluation.page.score_intervals import bootstrap
from thaw.evaluation.page.thumbnails import data_address
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS
from thaw.metrics.uncertainty import share_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from thaw.evaluation.page.subject import Subject
    from thaw.evaluation.scores import Scores

_MOST_IN_MATRIX = 40  # classes; of more, the most frequent confusions are listed
_MOST_CONFUSIONS = 12
_MOST_PICTURES = 12  # mistakes with a heat map
_MOST_MISTAKES = 500  # mistakes in the table
_LIKELIEST = 3  # classes shown of a mistake


def scores_section(subject: Subject) -> list[dict[str, Any]]:
    """Return each metric with its interval, the accuracy first."""
    result, settings = subject.result, subject.params.evaluate
    predictions = Predictions(result.probabilities, result.targets, settings.calibration_bins)
    summary = result.scores.summary
    intervals = bootstrap(predictions, subject.params.seed)
    rows = []
    for name, metric in METRICS.items():
        found = metric.interval(predictions) if metric.interval else intervals.get(name)
        low, high = found or (None, None)
        rows.append(
            {
                "name": name,
                "label": metric.label,
                "value": summary[name],
                "low": low,
                "high": high,
                "higher_is_better": metric.higher_is_better,
            }
        )
    return rows


def classes_section(subject: Subject) -> dict[str, Any]:
    """Return the scores of each class, and the confusion matrix or its largest entries."""
    scores, classes = subject.result.scores, subject.spec.classes
    rows = []
    for number, row in enumerate(scores.per_class):
        hits, images = int(scores.confusion[number, number]), int(row["support"])
        low, high = share_interval(hits, images) if images else (None, None)
        rows.append({**row, "hits": hits, "low": low, "high": high})
    return {
        "rows": rows,
        "matrix": _matrix(scores) if len(classes) <= _MOST_IN_MATRIX else None,
        "classes": classes if len(classes) <= _MOST_IN_MATRIX else [],
        "confusions": _confusions(scores, classes),
    }


def mistakes_section(subject: Subject, *, with_maps: bool = True) -> dict[str, Any]:
    """Return the mistakes, the most confident first; the first ones with pictures."""
    result, manifest = subject.result, subject.data.manifest
    predicted = result.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != result.targets)
    wrong = wrong[np.argsort(-result.probabilities[wrong].max(axis=1), kind="stable")]
    pictures = _pictures(subject, wrong[:_MOST_PICTURES], with_maps=with_maps)
    rows = []
    for number, place in enumerate(wrong[:_MOST_MISTAKES]):
        probabilities = result.probabilities[place]
        label = subject.spec.classes[result.targets[place]]
        order = np.argsort(-probabilities, kind="stable")[:_LIKELIEST]
        row = {
            "src": None,
            "heat": None,
            "path": manifest.rows[result.ids[place]].path,
            "label": label,
            "predicted": subject.spec.classes[predicted[place]],
            "probability": float(probabilities[predicted[place]]),
            "of_label": float(probabilities[result.targets[place]]),
            "likeliest": [
                {"class": subject.spec.classes[i], "p": float(probabilities[i])} for i in order
            ],
        }
        rows.append(row | (pictures[number] if number < len(pictures) else {}))
    return {"count": len(wrong), "images": len(result.targets), "rows": rows}


def calibration_section(subject: Subject) -> dict[str, Any]:
    """Return accuracy over confidence after and, if it was calibrated, before calibration."""
    result, calibration = subject.result, subject.spec.calibration
    kinds = {"before": result.uncalibrated, "after": result.scores}
    if result.uncalibrated is None:
        kinds = {"model": result.scores}
    return {
        "kind": calibration.kind if calibration else "none",
        "temperature": 1 / calibration.scale[0]
        if calibration and calibration.kind == "temperature"
        else None,
        "curves": [
            {"kind": kind, **row, **_interval(row)} for kind, scores in kinds.items() if scores
            for row in scores.reliability
        ],
        "scores": {
            kind: {name: scores.summary[name] for name in ("ece", "log_loss", "accuracy")}
            for kind, scores in kinds.items() if scores
        },
    }  # fmt: skip


def _interval(row: Mapping[str, float]) -> dict[str, float]:
    """Return the interval of the accuracy in a bin."""
    images = round(row["images"])
    low, high = share_interval(round(row["accuracy"] * images), images)
    return {"bottom": low, "top": high}


def _pictures(
    subject: Subject, places: NDArray[np.int64], *, with_maps: bool
) -> list[dict[str, str]]:
    """Return the images at ``places`` of the test split as the network sees them, with maps."""
    if not len(places):
        return []
    source = subject.data.images("test", subject.spec.preprocessing)
    device = next(subject.classifier.parameters()).device
    pixels = source.read(places)
    inputs = source.finish(pixels.to(device), places, None)
    shown = subject.spec.preprocessing.denormalize(inputs).clamp(0, 1).mul(255).round().byte()
    images = shown.permute(0, 2, 3, 1).cpu().contiguous().numpy()
    classes = subject.result.probabilities[places].argmax(axis=1)
    maps = heat_maps(subject.classifier, inputs, classes) if with_maps else None
    found = [{"src": data_address(image)} for image in images]
    if maps is not None:
        for picture, image, heat in zip(found, images, maps, strict=True):
            picture["heat"] = data_address(overlaid(image, heat))
    return found


def _matrix(scores: Scores) -> list[list[int]]:
    matrix: list[list[int]] = scores.confusion.tolist()
    return matrix


def _confusions(scores: Scores, classes: list[str]) -> list[dict[str, Any]]:
    """Return the largest entries beside the diagonal."""
    matrix = scores.confusion.copy()
    np.fill_diagonal(matrix, 0)
    totals = scores.confusion.sum(axis=1)
    order = np.argsort(-matrix, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    pairs = [divmod(int(place), len(classes)) for place in order]
    return [
        {
            "label": classes[row],
            "predicted": classes[column],
            "images": int(matrix[row, column]),
            "share": float(matrix[row, column] / totals[row]),
        }
        for row, column in pairs
        if matrix[row, column]
    ]
