"""Fit the calibration of a model to logits of images that it was not trained on.

Which kind is kept, by default (``auto``):

- Temperature scaling, if it lowers the cross-fitted log-loss. With fewer than 10 images nothing is
  fitted, and with few images the fit shrinks towards temperature 1.
- Vector scaling, if each class has at least 20 images (10 for each of its two values: Peduzzi et
  al. 1996) and a paired test says that it lowers the cross-fitted log-loss further.

Both minimise the log-loss (Guo et al. 2017) of the images together with a fixed weight of synthetic
images that have the probabilities of the simpler model as targets: the uncalibrated model for a
temperature, the one with a temperature for vector scaling (catalytic prior: Huang et al. 2020). The
simpler model therefore remains where there are few images, and the problem is convex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

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

    from thaw.config.training_sections import CalibrationSetting

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Kind = Literal["temperature", "vector"]
FEWEST_IMAGES = 10
FEWEST_OF_A_CLASS = 20
SIGNIFICANCE = 0.05  # of the paired test that vector scaling must pass
_PRIOR_IMAGES = 10.0  # weight of the synthetic images for each of the values of a class
_FOLDS = 5


@dataclass(frozen=True)
class CalibrationFit:
    """A calibration, and what was measured to choose it.

    ``log_loss`` has the mean log-loss in nats by kind (``none``, ``temperature``, ``vector``).
    Those of fitted kinds are cross-fitted. ``reason`` says why a kind was not taken.
    """

    calibration: Calibration
    images: int
    log_loss: dict[str, float]
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """Return the content for the report of a stage."""
        found: dict[str, Any] = {
            "kind": self.calibration.kind,
            "images": self.images,
            "log_loss": self.log_loss,
        }
        if self.calibration.kind == "temperature":
            found["temperature"] = 1 / self.calibration.scale[0]
        return {**found, "reason": self.reason} if self.reason else found


def fit_calibration(
    logits: Floats, targets: Ints, setting: CalibrationSetting = "auto"
) -> CalibrationFit:
    """Return the calibration for ``logits`` (N, C) of images of the classes ``targets`` (N,).

    The logits must be those of images that the model was not trained on: of the validation split,
    or out-of-fold. ``temperature`` and ``vector`` fit that kind, whatever the test says.
    """
    logits = np.asarray(logits, dtype=np.float64)
    before = uncalibrated_losses(logits, targets)
    measured = {"none": float(before.mean())} if len(targets) else {}

    def nothing(reason: str) -> CalibrationFit:
        return CalibrationFit(Calibration(), len(targets), measured, reason)

    if setting == "off":
        return nothing("regularize.calibration is off")
    if len(targets) < FEWEST_IMAGES:
        return nothing(f"fewer than {FEWEST_IMAGES} images")
    losses = calibrated_losses(logits, targets)
    measured["temperature"] = float(losses.mean())
    if setting == "auto" and not measured["temperature"] < measured["none"]:
        return nothing("a temperature does not lower the cross-fitted log-loss")
    reason = ""
    if setting == "vector":
        measured["vector"] = float(calibrated_losses(logits, targets, "vector").mean())
    elif setting == "auto":
        reason = _reason_against_vector(logits, targets, losses, measured)
    kind: Kind = "temperature" if setting == "temperature" or reason else "vector"
    return CalibrationFit(_fit(logits, targets, kind), len(targets), measured, reason)


def cross_fitted(
    logits: Floats, targets: Ints, kind: Kind = "temperature", folds: int = _FOLDS
) -> Floats:
    """Return the calibrated logits (N, C); those of an image by a fit to other images.

    The images are divided into ``folds`` parts with the same share of each class. The calibration
    of a part is fitted to the others, so that models can be compared without a bias for the one
    whose calibration has more freedom. Fewer than 10 images are not calibrated.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if len(targets) < FEWEST_IMAGES:
        return logits
    mapped = np.empty_like(logits)
    parts = _parts(targets, folds)
    for part in np.unique(parts):
        own = parts == part
        calibration = _fit(logits[~own], targets[~own], kind)
        mapped[own] = logits[own] * calibration.scale + (calibration.offset or 0.0)
    return mapped


def calibrated_losses(
    logits: Floats, targets: Ints, kind: Kind = "temperature", folds: int = _FOLDS
) -> Floats:
    """Return the log-loss (N,) in nats of each image after calibration, see ``cross_fitted``."""
    return uncalibrated_losses(cross_fitted(logits, targets, kind, folds), targets)


def calibrated_log_loss(logits: Floats, targets: Ints, folds: int = 2) -> float:
    """Return the mean log-loss (nats) with a temperature that is fitted to one half at a time.

    For the choice between models whose confidence differs, such as with and without label
    smoothing: a temperature would remove the difference.
    """
    return float(calibrated_losses(logits, targets, folds=folds).mean())


def is_lower(losses: Floats, than: Floats, significance: float = SIGNIFICANCE) -> bool:
    """Return whether ``losses`` (N,) are lower on average than those of the same images.

    Source: Student's paired t-test, one-sided.
    """
    from scipy.stats import ttest_1samp  # imported here: most stages fit nothing

    differences = than - losses
    if len(differences) < 2 or np.ptp(differences) == 0:
        return False
    return float(ttest_1samp(differences, 0.0, alternative="greater").pvalue) < significance


def _reason_against_vector(
    logits: Floats, targets: Ints, losses: Floats, measured: dict[str, float]
) -> str:
    """Return why vector scaling is not used instead of a temperature, "" if it is."""
    counts = np.bincount(targets, minlength=logits.shape[1])
    if counts.min() < FEWEST_OF_A_CLASS:
        return f"vector scaling needs {FEWEST_OF_A_CLASS} images of each class"
    vector = calibrated_losses(logits, targets, "vector")
    measured["vector"] = float(vector.mean())
    if not is_lower(vector, losses):
        return "vector scaling does not lower the cross-fitted log-loss further"
    return ""


def _fit(logits: Floats, targets: Ints, kind: Kind) -> Calibration:
    """Return the map of ``kind`` with the lowest log-loss."""
    classes = logits.shape[1]
    wanted = np.zeros_like(logits)
    wanted[np.arange(len(targets)), targets] = 1.0
    scale = _minimise(logits, _shrunk(wanted, logits, 1), 1)
    if kind == "temperature":
        return Calibration(scale=scale[:1])
    start = logits * scale[0]
    found = _minimise(start, _shrunk(wanted, start, 2 * classes / _PRIOR_IMAGES), classes)
    factors = np.clip(np.array(found[:classes]) * scale[0], SMALLEST_SCALE, LARGEST_SCALE)
    return Calibration(scale=_storable(factors), offset=found[classes:])


def _shrunk(wanted: Floats, logits: Floats, values: float) -> Floats:
    """Return the targets of the images together with those of the synthetic images."""
    weight = _PRIOR_IMAGES * max(1.0, values)
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


def _parts(targets: Ints, count: int) -> Ints:
    """Return the part (N,) of each image: the images of a class are dealt out at random."""
    order = np.random.default_rng(0).permutation(len(targets))
    order = order[np.argsort(targets[order], kind="stable")]
    parts = np.empty(len(targets), dtype=np.int64)
    parts[order] = np.arange(len(targets)) % count
    return parts
