"""Fit temperature or vector scaling of logits: the map with the lowest log-loss.

Both minimise the log-loss (Guo et al. 2017) of the images together with a fixed weight of synthetic
images that have the probabilities of the simpler model as targets: the uncalibrated model for a
temperature, the one with a temperature for vector scaling (catalytic prior: Huang et al. 2020). The
simpler model therefore remains where there are few images, and the problem is convex.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.model.calibration import (
    LARGEST_OFFSET,
    LARGEST_SCALE,
    SMALLEST_SCALE,
    Calibration,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from thaw.literals import CalibrationMap

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_PRIOR_IMAGES = 10.0  # weight of the synthetic images, or two for each class with vector scaling


def fit_scaling(logits: Floats, targets: Ints, kind: CalibrationMap) -> Calibration:
    """Return the map of ``kind`` for ``logits`` (N, C) of images of classes ``targets`` (N,)."""
    classes = logits.shape[1]
    wanted = np.zeros_like(logits)
    wanted[np.arange(len(targets)), targets] = 1.0
    scale = _minimise(logits, _shrunk(wanted, logits, _PRIOR_IMAGES), 1)
    if kind == "temperature":
        return Calibration(scale=scale[:1])
    start = logits * scale[0]
    found = _minimise(start, _shrunk(wanted, start, max(_PRIOR_IMAGES, 2 * classes)), classes)
    factors = np.clip(np.array(found[:classes]) * scale[0], SMALLEST_SCALE, LARGEST_SCALE)
    return Calibration(scale=_storable(factors), offset=found[classes:])


def _shrunk(wanted: Floats, logits: Floats, weight: float) -> Floats:
    """Return the targets of the images together with those of synthetic images of ``weight``."""
    return (len(wanted) * wanted + weight * np.exp(_log_softmax(logits))) / (len(wanted) + weight)


def _minimise(logits: Floats, wanted: Floats, scales: int) -> list[float]:
    """Return the scales and, if there are several, the offsets with the lowest cross-entropy."""

    def loss(values: Floats) -> tuple[float, Floats]:
        mapped = logits * values[:scales]
        if scales > 1:
            mapped = mapped + values[scales:]
        logs = _log_softmax(mapped)
        rest = (np.exp(logs) - wanted) / len(wanted)
        slope = (rest * logits).sum(axis=0)
        slopes = [slope.sum(keepdims=True)] if scales == 1 else [slope, rest.sum(axis=0)]
        return float(-(wanted * logs).sum() / len(wanted)), np.concatenate(slopes)

    bounds = [(SMALLEST_SCALE, LARGEST_SCALE)] * scales
    start = np.ones(scales)
    if scales > 1:
        bounds += [(-LARGEST_OFFSET, LARGEST_OFFSET)] * scales
        start = np.concatenate([start, np.zeros(scales)])
    return _storable(_lowest(loss, start, bounds))


def _lowest(
    loss: Callable[[Any], tuple[float, Any]],
    start: Any,
    bounds: list[tuple[float, float]],
) -> Floats:
    from scipy.optimize import minimize  # imported here: most stages fit nothing

    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 200, "ftol": 1e-12, "gtol": 1e-8},
    )
    values: Floats = found.x
    return values


def _storable(values: Floats) -> list[float]:
    """Return the values as float32, in which they are applied."""
    return [float(value) for value in values.astype(np.float32)]


def uncalibrated_losses(logits: Floats, targets: Ints) -> Floats:
    """Return the log-loss (N,) in nats of each image by its logits (N, C)."""
    losses: Floats = -_log_softmax(logits)[np.arange(len(targets)), targets]
    return losses


def _log_softmax(logits: Floats) -> Floats:
    below = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(axis=1, keepdims=True)))
