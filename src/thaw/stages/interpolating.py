"""Interpolate the weights of the head warm-up and of unfreeze, where that is measured to help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.context import compute_inputs
from thaw.model.batchnorm import fold_blocks
from thaw.model.float32 import strict_float32
from thaw.system.console import say
from thaw.training import trainable_state
from thaw.training.calibration import kept_losses
from thaw.training.runtime import logits
from thaw.training.weight_interpolation import (
    FEWEST_IMAGES,
    SHARES,
    choose,
    differs,
    interpolated,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.context import Context, Phase
    from thaw.model.classifier import Classifier
    from thaw.training.phase_inputs import PhaseInputs


@strict_float32()
def interpolate_if_better(
    context: Context, warm: Classifier, classifier: Classifier, phase: Phase
) -> dict[str, Any]:
    """Set the weights of ``classifier`` between those of ``warm`` and its own if that is better.

    ``warm`` is the model of the head warm-up, whose blocks ``phase`` started from; it may be folded
    in place. Nothing is tried where running statistics moved, because those of interpolated weights
    would be others.

    Returns:
        The report: the share of the fine-tuned weights, and the validation log-loss by share, after
        calibration where that is on. Empty where nothing was tried.
    """
    plan = phase.plan
    if plan.batch_norm == "affine":
        fold_blocks(warm.blocks, plan.trainable)
    start = trainable_state.state(warm, plan)
    end = trainable_state.copy(trainable_state.state(classifier, plan))
    inputs = compute_inputs(context, classifier, phase, trains=False)
    buffers = (name for name, _ in classifier.named_buffers())
    if len(inputs.val) < FEWEST_IMAGES or differs(start, end, buffers):
        return {}
    losses = {}
    for share in (*SHARES, 1.0):
        trainable_state.load(classifier, interpolated(start, end, share) if share < 1.0 else end)
        losses[share] = _losses(context, classifier, inputs)
    found = choose(losses)
    if found.share < 1.0:
        trainable_state.load(classifier, interpolated(start, end, found.share))
    if context.runtime.is_main:
        result = f"share {found.share:g} of the fine-tuned weights" if not found.reason else "none"
        texts = (f"{share:g}: {loss:.4f}" for share, loss in found.log_loss.items())
        say(f"interpolation with the head warm-up: {result} (validation loss {', '.join(texts)})")
    by_share = {f"{share:g}": loss for share, loss in found.log_loss.items()}
    return {"interpolation": {"share": found.share, "log_loss": by_share}}


def _losses(context: Context, classifier: Classifier, inputs: PhaseInputs) -> NDArray[np.float64]:
    part = classifier.part(inputs.cut)
    outputs = logits(context.runtime, part, inputs.val, "interpolated weights").double().numpy()
    return kept_losses(outputs, inputs.val.targets, context.params.regularize.calibration)
