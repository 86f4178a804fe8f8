"""Keep a fine-tuned model only where it is better than the head alone, on the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.advice.tournament.comparison import paired_difference
from thaw.context import Phase, compute_inputs
from thaw.model.float32 import strict_float32
from thaw.model.freeze_plan import last_blocks
from thaw.training.calibration import kept_losses, loss_of_guessing
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.context import Context
    from thaw.model.classifier import Classifier

_LEAST_GAIN = 0.01  # share of the loss of the head alone


@strict_float32()
def compare_with_head(
    context: Context,
    warm: Classifier,
    classifier: Classifier,
    phase: Phase,
    *,
    needs_one_error: bool,
) -> tuple[bool, dict[str, Any]]:
    """Return whether ``classifier``, which ``phase`` trained, is kept; and both losses.

    ``warm`` is the model of the head warm-up. The validation loss of ``classifier`` must be lower
    by a hundredth. If it ``needs_one_error``, it must be lower by one standard error of the paired
    difference as well, except where the head alone is worse than guessing. Each model has the loss
    that it would have as the kept one: without a temperature where it would get none.
    """
    plan = last_blocks(0, len(warm.blocks), "frozen")
    start = Phase(plan, context.params.unfreeze, phase.preprocessing)
    before, head_accuracy = _scores(context, warm, start)
    after, accuracy = _scores(context, classifier, phase)
    difference = paired_difference(after, before)
    guessing = loss_of_guessing(len(context.data.manifest.classes))
    needs_one_error &= float(before.mean()) <= guessing
    error = difference.standard_error if needs_one_error else 0.0
    needed = needed_gain(float(before.mean()), error)
    is_kept = difference.mean < -needed
    found = {
        "is_kept": is_kept,
        "head_log_loss": float(before.mean()),
        "log_loss": float(after.mean()),
        "head_accuracy": head_accuracy,
        "accuracy": accuracy,
        "difference": difference.mean,
        "difference_error": difference.standard_error
        if np.isfinite(difference.standard_error)
        else None,
        "needed_gain": needed if np.isfinite(needed) else None,
    }
    return is_kept, found


def needed_gain(loss: float, error: float) -> float:
    """Return by how much the ``loss`` of the head alone must fall: a hundredth, and ``error``."""
    return max(_LEAST_GAIN * loss, error)


def _scores(
    context: Context, classifier: Classifier, phase: Phase
) -> tuple[NDArray[np.float64], float]:
    """Return the validation log-losses (N,), with the calibration that is kept; the accuracy."""
    inputs = compute_inputs(context, classifier, phase, trains=False)
    part = classifier.part(inputs.cut)
    outputs = logits(context.runtime, part, inputs.val, "comparing with the head").double().numpy()
    targets = inputs.val.targets
    accuracy = float(np.mean(outputs.argmax(axis=1) == targets))
    return kept_losses(outputs, targets, context.params.regularize.calibration), accuracy
