"""Confidence intervals (95 %) of the scores on the test split, and tests of their differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from thaw.metrics.registry import METRICS
from thaw.metrics.uncertainty import resample_weights, swapped_sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from thaw.metrics.predictions import Predictions
    from thaw.metrics.registry import PerImage

_RESAMPLES = 400
_SWAPS = 1000
_AT_ONCE = 50  # resamples whose weights are in memory together
_MOST_NUMBERS = 20_000_000  # per metric; a larger one gets no interval
_TAILS = (0.025, 0.975)


def bootstrap(predictions: Predictions, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return the interval of each metric: quantiles over resampled images, drawn class by class.

    Two kinds of metrics are left out: those of very many images and classes, and those that no
    resample changes, because no image was classified wrongly.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    forms = {name: [form] for name, form in _forms(predictions).items()}
    return _intervals(forms, predictions.targets, seed)


def bootstrap_difference(
    first: Predictions, second: Predictions, seed: int
) -> dict[str, tuple[float, float]]:
    """Return the interval of each metric's difference, ``second`` minus ``first``.

    Both predict the same images, which are resampled together. Metrics are left out as in
    :func:`bootstrap`.
    """
    before, after = _forms(first), _forms(second)
    pairs = {name: [before[name], after[name]] for name in before.keys() & after.keys()}
    return _intervals(pairs, first.targets, seed)


def swap_p_values(first: Predictions, second: Predictions, seed: int) -> dict[str, float]:
    """Return how likely differences as large as those of each metric are between equal models.

    That is the share of cases, in which both swap their answers at random per image. Where few
    answers differ, it is exact, and an interval by :func:`bootstrap_difference` is too narrow.
    """
    before, after = _forms(first), _forms(second)
    generator = np.random.default_rng(seed)
    found = {}
    for name, own in before.items():
        if (other := after.get(name)) is None:
            continue
        sums = (form.rows.sum(axis=0, keepdims=True) for form in (own, other))
        size = abs(np.subtract(*map(own.from_sums, sums)))
        count = 0
        for _ in range(_SWAPS // _AT_ONCE):
            swapped = swapped_sums(own.rows, other.rows, _AT_ONCE, generator)
            differences = np.abs(np.subtract(*map(own.from_sums, swapped)))
            count += int((differences >= size - 1e-12).sum())
        found[name] = (count + 1) / (_SWAPS + 1)
    return found


def _forms(predictions: Predictions) -> dict[str, PerImage]:
    forms = {name: metric.per_image(predictions) for name, metric in METRICS.items()}
    return {name: form for name, form in forms.items() if form.rows.size <= _MOST_NUMBERS}


def _intervals(
    forms: Mapping[str, Sequence[PerImage]], targets: NDArray[np.int64], seed: int
) -> dict[str, tuple[float, float]]:
    """Return the interval of the last form minus the first, or of the only one, by name."""
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in forms}
    generator = np.random.default_rng(seed)
    for _ in range(_RESAMPLES // _AT_ONCE):
        weights = resample_weights(targets, _AT_ONCE, generator)
        for name, pair in forms.items():
            found = [form.from_sums(weights @ form.rows) for form in pair]
            values[name].append(found[-1] - found[0] if len(pair) > 1 else found[0])
    return {
        name: (float(low), float(high))
        for name, parts in values.items()
        for low, high in [np.quantile(np.concatenate(parts), _TAILS)]
        if low < high
    }
