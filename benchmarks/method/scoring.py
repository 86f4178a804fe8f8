"""Scores of probabilities: accuracy, log-loss, and calibration with its sampling error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.config.result_sections import Evaluate
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAWS = 200


def scores(probabilities: NDArray[Any], targets: NDArray[np.int64], split: str) -> dict[str, float]:
    """Return the scores of probabilities (N, C), with the name of the split before each.

    ``loss`` is the log-loss in nats. ``ece_chance`` is the calibration error that N images would
    show on average if the probabilities were right: a smaller one cannot be told from 0.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    values = values / values.sum(axis=1, keepdims=True)
    ece = METRICS["ece"].value
    bins = Evaluate().calibration_bins
    found = {
        "images": len(targets),
        "accuracy": float((values.argmax(1) == targets).mean()),
        "loss": float(-np.log(values[np.arange(len(targets)), targets].clip(1e-15)).mean()),
        "ece": ece(Predictions(values, targets, bins)),
        "ece_chance": float(
            np.mean([ece(Predictions(values, drawn, bins)) for drawn in _draws(values)])
        ),
    }
    return {f"{split}_{name}": value for name, value in found.items()}


def _draws(probabilities: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return targets that are drawn from the probabilities."""
    generator = np.random.default_rng(0)
    ends = probabilities.cumsum(axis=1)
    places = [generator.random(len(ends))[:, None] * ends[:, -1:] for _ in range(_DRAWS)]
    return [np.minimum((place > ends).sum(axis=1), ends.shape[1] - 1) for place in places]
