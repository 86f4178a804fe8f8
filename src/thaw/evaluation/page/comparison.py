"""Compare two results on the images that both have predicted."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.evaluation.page.score_intervals import bootstrap_difference, swap_p_values
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_PROBABILITY = "p_"  # prefix of a column
_BINS = 15
_CLEAR = 0.05  # the largest p-value of a clear difference
_OTHER = "compare another result, or run `thaw repair` if it is that of a project"


@dataclass(frozen=True)
class StoredResult:
    """The predictions of a result, with its parameters and curves as far as they are known.

    ``labels`` and ``probabilities`` (N, C) belong to the images ``paths``; ``params`` are values by
    dotted key; ``curve`` has a row for each epoch of all phases.
    """

    name: str
    paths: list[str]
    labels: list[str]
    classes: list[str]
    probabilities: NDArray[np.float64]
    params: Mapping[str, str]
    curve: list[dict[str, Any]]

    @classmethod
    def parse(cls, name: str, predictions: str, params: str, histories: Mapping[str, str]) -> Self:
        """Return the result from the texts of its files.

        Raises:
            ThawError: the predictions or the curves are damaged.
        """
        damaged = f"the predictions or curves of {name} are damaged"
        try:
            rows = list(csv.DictReader(io.StringIO(predictions, newline="")))
            columns = [column for column in rows[0] if column.startswith(_PROBABILITY)]
            values = np.array([[float(row[column]) for column in columns] for row in rows])
            paths, labels = [row["path"] for row in rows], [row["label"] for row in rows]
            curve = _curve(histories)
        except (LookupError, ValueError, TypeError, csv.Error) as error:
            raise ThawError(f"{damaged} ({error!r}): {_OTHER}") from None
        classes = [column.removeprefix(_PROBABILITY) for column in columns]
        if not np.isfinite(values).all() or not set(labels) <= set(classes):
            raise ThawError(
                f"{damaged}: a probability is not finite, or a label is no class: {_OTHER}"
            )
        return cls(name, paths, labels, classes, values, _flat(params), curve)


def compare(first: StoredResult, second: StoredResult, seed: int = 0) -> dict[str, Any]:
    """Return metrics with paired differences, differing answers and parameters, and the curves.

    Only images that both results have with the same label count. Differences are those of
    ``second`` to ``first``.

    Raises:
        ThawError: the results have different classes, or no image in common.
    """
    if first.classes != second.classes:
        other = sorted(set(first.classes) ^ set(second.classes))
        raise ThawError(
            f"{first.name} and {second.name} have different classes ({', '.join(other[:5])}): "
            "compare results on the same data"
        )
    places = _common(first, second)
    if not len(places):
        raise ThawError(
            f"{first.name} and {second.name} have no test image in common: "
            "compare results on the same data"
        )
    index = {label: number for number, label in enumerate(first.classes)}
    targets = np.array([index[first.labels[place]] for place in places[:, 0]])
    before, after = (
        Predictions(result.probabilities[places[:, column]], targets, _BINS)
        for column, result in enumerate((first, second))
    )
    return {
        "names": [first.name, second.name],
        "images": len(places),
        "only_in_one": len(first.paths) + len(second.paths) - 2 * len(places),
        "metrics": _metrics(before, after, seed),
        "answers": _answers(first, places, (before, after)),
        "counts": _counts(before, after),
        "params": _differing(first.params, second.params),
        "curves": [
            {"result": name, **row}
            for name, result in zip("AB", (first, second), strict=True)
            for row in result.curve
        ],
    }


def _common(first: StoredResult, second: StoredResult) -> NDArray[np.int64]:
    """Return the places (N, 2) in both results of the images with the same path and label."""
    other = {key: at for at, key in enumerate(zip(second.paths, second.labels, strict=True))}
    keys = enumerate(zip(first.paths, first.labels, strict=True))
    return np.array([(at, other[key]) for at, key in keys if key in other]).reshape(-1, 2)


def _metrics(first: Predictions, second: Predictions, seed: int) -> list[dict[str, Any]]:
    intervals = bootstrap_difference(first, second, seed)
    p_values = swap_p_values(first, second, seed)
    rows = []
    for name, metric in METRICS.items():
        before, after = metric.value(first), metric.value(second)
        low, high = intervals.get(name, (None, None))
        is_outside = low is not None and high is not None and (low > 0 or high < 0)
        is_clear = is_outside and p_values[name] <= _CLEAR
        is_better = (after > before) == metric.higher_is_better
        verdict = ("better" if is_better else "worse") if is_clear else "not clear"
        if low is None and before == after:
            verdict = "equal"
        rows.append(
            {"name": name, "label": metric.label, "first": before, "second": after,
             "difference": after - before, "low": low, "high": high, "verdict": verdict}
        )  # fmt: skip
    return rows


def _counts(first: Predictions, second: Predictions) -> dict[str, Any]:
    """Return how many images only one result has right, and McNemar's exact p-value."""
    from scipy.stats import binomtest

    only_first = int((first.is_correct & ~second.is_correct).sum())
    only_second = int((second.is_correct & ~first.is_correct).sum())
    changed = only_first + only_second
    p = float(binomtest(only_second, changed).pvalue) if changed else 1.0
    return {"only_first": only_first, "only_second": only_second, "p": p}


def _answers(
    first: StoredResult, places: NDArray[np.int64], both: tuple[Predictions, Predictions]
) -> list[dict[str, Any]]:
    """Return the images with different answers, those that one result has right first."""
    before, after = both
    rows = [
        {
            "path": first.paths[places[at, 0]],
            "label": first.labels[places[at, 0]],
            "first": first.classes[before.predicted[at]],
            "second": first.classes[after.predicted[at]],
            "first_p": float(before.confidences[at]),
            "second_p": float(after.confidences[at]),
            "right": "A" if before.is_correct[at] else "B" if after.is_correct[at] else "none",
        }
        for at in np.flatnonzero(before.predicted != after.predicted)
    ]
    return sorted(rows, key=lambda row: (row["right"] == "none", row["right"], row["path"]))


def _differing(first: Mapping[str, str], second: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"name": key, "first": first.get(key, "default"), "second": second.get(key, "default")}
        for key in sorted({*first, *second})
        if first.get(key) != second.get(key)
    ]


def _flat(text: str) -> dict[str, str]:
    """Return the values in the text of a ``params.yaml`` by dotted key; none if it is damaged."""
    try:
        content = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError):
        return {}
    flat: dict[str, str] = {}

    def add(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = str(value)

    add("", content or {})
    return flat


def _curve(histories: Mapping[str, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for stage, text in histories.items():
        start = len(rows)
        for row in csv.DictReader(io.StringIO(text, newline="")):
            values = {key: float(row[key]) for key in ("val_loss", "val_accuracy")}
            rows.append(
                {"phase": stage, "epoch": int(row["epoch"]), "at": start + int(row["epoch"])}
                | values
            )
    return rows
