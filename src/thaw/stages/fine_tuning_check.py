"""Keep a fine-tuned model only where a paired test says that it is better than the head alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.advice.tournament.comparison import paired_difference
from thaw.context import Phase, compute_inputs
from thaw.evaluation.fine_tuning_text import comparison_text
from thaw.model.float32 import strict_float32
from thaw.model.freeze_plan import last_blocks
from thaw.system.console import say
from thaw.training.calibration import kept_losses, loss_of_guessing
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.context import Context
    from thaw.model.classifier import Classifier

_LEAST_GAIN = 0.01  # share of the loss of the head alone


@strict_float32()
def is_fine_tuning_kept(
    context: Context, warm: Classifier, classifier: Classifier, phase: Phase, *, is_better: bool
) -> tuple[bool, dict[str, Any]]:
    """Return whether ``classifier``, which ``phase`` trained, is kept; and the report.

    ``warm`` is the model of the head warm-up. The validation loss of ``classifier`` must be lower
    by a hundredth and by more than one standard error of the paired difference. Each model has the
    loss that it would have as the kept one: without a temperature where it would get none. The
    hundredth is enough if a comparison on other images has said so already (``is_better``), or if
    the head alone is worse than guessing.
    """
    plan = last_blocks(0, len(warm.blocks), "frozen")
    start = Phase(plan, context.params.unfreeze, phase.preprocessing)
    before, _ = _scores(context, warm, start)
    after, accuracy = _scores(context, classifier, phase)
    difference = paired_difference(after, before)
    is_better |= float(before.mean()) > loss_of_guessing(len(context.data.manifest.classes))
    needed = needed_gain(difference.standard_error, float(before.mean()), is_better=is_better)
    is_kept = difference.mean < -needed
    found = {
        "is_kept": is_kept,
        "head_log_loss": float(before.mean()),
        "log_loss": float(after.mean()),
        "accuracy": accuracy,
        "difference": difference.mean,
        "difference_error": difference.standard_error
        if np.isfinite(difference.standard_error)
        else None,
        "needed_gain": needed if np.isfinite(needed) else None,
    }
    if context.runtime.is_main:
        say(f"fine-tuning {'kept' if is_kept else 'dropped'}: {comparison_text(found)}")
    return is_kept, {"fine_tuning": found}


def needed_gain(error: float, loss: float, *, is_better: bool) -> float:
    """Return by how much the ``loss`` of the head alone must fall: see :func:`is_fine_tuning_kept`.

    ``error`` is the standard error of the paired difference.
    """
    least = _LEAST_GAIN * loss
    return least if is_better else max(least, error)


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
