"""Calibrate the model that a training stage writes, on its validation logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.context import compute_inputs
from thaw.model.float32 import strict_float32
from thaw.system.console import say
from thaw.training.calibration import fit_calibration
from thaw.training.runtime import logits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.context import Context, Phase
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.training.calibration import CalibrationFit


@strict_float32()
def calibrate(
    context: Context, classifier: Classifier, spec: ModelSpec, phase: Phase
) -> tuple[ModelSpec, dict[str, Any]]:
    """Return ``spec`` with the calibration of ``classifier``, trained by ``phase``, and a report.

    The activations below the cut of the phase come from the cache.
    """
    if context.params.regularize.calibration == "off":
        return spec, {}
    inputs = compute_inputs(context, classifier, phase, trains=False)
    part = classifier.part(inputs.cut)
    outputs = logits(context.runtime, part, inputs.val, "logits for the calibration")
    return calibrated(context, spec, outputs, inputs.val.targets)


def calibrated(
    context: Context, spec: ModelSpec, outputs: Tensor, targets: NDArray[np.int64]
) -> tuple[ModelSpec, dict[str, Any]]:
    """Return ``spec`` with a calibration fitted to validation logits (N, C), and a report."""
    setting = context.params.regularize.calibration
    if setting == "off":
        return spec, {}
    fit = fit_calibration(outputs.double().numpy(), targets, setting)
    if context.runtime.is_main:
        say(f"calibration: {_text(fit)}")
    changed = spec.model_copy(update={"calibration": fit.calibration})
    return changed, {"calibration": fit.report()}


def _text(fit: CalibrationFit) -> str:
    kind = fit.calibration.kind
    if kind == "none":
        return f"none ({fit.reason})"
    value = f" {1 / fit.calibration.scale[0]:.2f}" if kind == "temperature" else ""
    before, after = fit.log_loss["none"], fit.log_loss[kind]
    return f"{kind}{value}, cross-fitted validation loss {before:.4f} -> {after:.4f}"
