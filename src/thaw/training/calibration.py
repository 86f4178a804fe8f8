"""Fit the calibration of a model to logits of images that it was not trained on.

Which kind is kept, by default (``auto``):

- Temperature scaling, if it lowers the cross-fitted log-loss. With fewer than 10 images nothing is
  fitted, and with few images the fit shrinks towards temperature 1.
- Vector scaling, if each class has at least 20 images (10 for each of its two values: Peduzzi et
  al. 1996) and a paired test says that it lowers the cross-fitted log-loss further.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from thaw.model.calibration import Calibration
from thaw.training.logit_scaling import fit_scaling, uncalibrated_losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.regularize_section import CalibrationSetting
    from thaw.literals import CalibrationMap

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

FEWEST_IMAGES = 10
FEWEST_OF_A_CLASS = 20
SIGNIFICANCE = 0.05  # of the paired test that vector scaling must pass
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
    kind, losses, reason = _kept(logits, targets, setting)
    fitted = Calibration() if kind == "none" else fit_scaling(logits, targets, kind)
    means = {name: float(each.mean()) for name, each in losses.items() if len(each)}
    return CalibrationFit(fitted, len(targets), means, reason)


def kept_losses(
    logits: Floats, targets: Ints, setting: CalibrationSetting, *, tries_vector: bool = True
) -> Floats:
    """Return the log-loss (N,) in nats of each image after the calibration that would be kept.

    :func:`fit_calibration` decides which. Models are compared by it, because a model that keeps no
    temperature does not have the loss that it would have with one. That of a fitted kind is
    cross-fitted. Without ``tries_vector`` a temperature stands for vector scaling, whose fits take
    seconds for thousands of images of many classes.
    """
    logits = np.asarray(logits, dtype=np.float64)
    kind, losses, _ = _kept(logits, targets, setting, tries_vector=tries_vector)
    return losses[kind]


def cross_fitted(
    logits: Floats, targets: Ints, kind: CalibrationMap = "temperature", folds: int = _FOLDS
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
        calibration = fit_scaling(logits[~own], targets[~own], kind)
        mapped[own] = logits[own] * calibration.scale + (calibration.offset or 0.0)
    return mapped


def loss_of_guessing(classes: int) -> float:
    """Return the log-loss in nats of a head that gives all ``classes`` the same probability."""
    return math.log(classes)


def calibrated_losses(
    logits: Floats, targets: Ints, kind: CalibrationMap = "temperature"
) -> Floats:
    """Return the log-loss (N,) in nats of each image after calibration, see ``cross_fitted``.

    Their means compare models whose confidence differs, such as with and without label smoothing:
    a temperature would remove the difference.
    """
    return uncalibrated_losses(cross_fitted(logits, targets, kind), targets)


def is_lower(losses: Floats, than: Floats, significance: float = SIGNIFICANCE) -> bool:
    """Return whether ``losses`` (N,) are lower on average than those of the same images.

    Source: Student's paired t-test, one-sided.
    """
    from scipy.stats import ttest_1samp  # imported here: most stages fit nothing

    differences = than - losses
    if len(differences) < 2 or np.ptp(differences) == 0:
        return False
    return float(ttest_1samp(differences, 0.0, alternative="greater").pvalue) < significance


def _kept(
    logits: Floats, targets: Ints, setting: CalibrationSetting, *, tries_vector: bool = True
) -> tuple[Literal["none", CalibrationMap], dict[str, Floats], str]:
    """Return the kind that is kept, the losses (N,) by kind, and why no further kind was taken."""
    losses = {"none": uncalibrated_losses(logits, targets)}
    if setting == "off":
        return "none", losses, "regularize.calibration is off"
    if len(targets) < FEWEST_IMAGES:
        return "none", losses, f"fewer than {FEWEST_IMAGES} images"
    plain = losses["temperature"] = calibrated_losses(logits, targets)
    if setting == "auto" and not plain.mean() < losses["none"].mean():
        return "none", losses, "a temperature does not lower the cross-fitted log-loss"
    if setting == "temperature" or not tries_vector:
        return "temperature", losses, ""
    fewest = np.bincount(targets, minlength=logits.shape[1]).min()
    if setting == "auto" and fewest < FEWEST_OF_A_CLASS:
        reason = f"vector scaling needs {FEWEST_OF_A_CLASS} images of each class"
        return "temperature", losses, reason
    losses["vector"] = calibrated_losses(logits, targets, "vector")
    if setting == "auto" and not is_lower(losses["vector"], plain):
        reason = "vector scaling does not lower the cross-fitted log-loss further"
        return "temperature", losses, reason
    return "vector", losses, ""


def _parts(targets: Ints, count: int) -> Ints:
    """Return the part (N,) of each image: the images of a class are divided at random."""
    order = np.random.default_rng(0).permutation(len(targets))
    order = order[np.argsort(targets[order], kind="stable")]
    parts = np.empty(len(targets), dtype=np.int64)
    parts[order] = np.arange(len(targets)) % count
    return parts
