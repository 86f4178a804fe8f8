"""Average the logits of an image and of its mirror image, where that is measured to help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.evaluation.latency import latency_ms
from thaw.model.float32 import strict_float32
from thaw.system.console import say
from thaw.training.calibration import is_lower, kept_losses
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.context import Context
    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier

_FEWEST_IMAGES = 30  # of a paired t-test


@strict_float32()
def mirror_if_better(
    context: Context, classifier: Classifier, val: ImageSource, plain: Tensor
) -> tuple[Tensor, dict[str, Any]]:
    """Let ``classifier`` average both views if a paired t-test says that its loss is lower.

    ``plain`` are its logits (N, C) of the validation images.

    Returns:
        The logits of the classifier as it is now, and the report: whether it averages, the log-loss
        of both with the calibration that is kept, and the milliseconds an image of both. Empty if
        it was not tried.
    """
    if context.params.fold_bn.mirror == "off" or len(val) < _FEWEST_IMAGES:
        return plain, {}
    latency = {"plain": latency_ms(context.runtime, classifier, val)}
    classifier.mirrored = True
    latency["mirrored"] = latency_ms(context.runtime, classifier, val)
    outputs = logits(context.runtime, classifier, val, "logits of mirror images, too")
    before, after = (
        kept_losses(each.double().numpy(), val.targets, context.params.regularize.calibration)
        for each in (plain, outputs)
    )
    classifier.mirrored = is_lower(after, before)
    if context.runtime.is_main:
        say(
            f"mirror images: {'averaged' if classifier.mirrored else 'not used'} (validation loss "
            f"{before.mean():.4f} -> {after.mean():.4f}; {latency['plain']:.1f} -> "
            f"{latency['mirrored']:.1f} ms an image)"
        )
    losses = {"plain": float(before.mean()), "mirrored": float(after.mean())}
    found = {"used": classifier.mirrored, "log_loss": losses, "latency_ms": latency}
    return outputs if classifier.mirrored else plain, {"mirror": found}
