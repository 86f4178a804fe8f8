"""The scores of a network on the validation split during training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from thaw.training.calibration import calibrated_losses
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from torch import nn

    from thaw.data.loading import Source
    from thaw.training.runtime import Runtime


def validate(
    runtime: Runtime, network: nn.Module, source: Source, epoch: int, *, calibrated: bool = False
) -> tuple[float, float]:
    """Return the mean cross-entropy (nats) and the accuracy of ``network`` on ``source``.

    With ``calibrated``, the cross-entropy is that of cross-fitted temperatures.

    Raises:
        NotFiniteError: the loss is not finite; the message names ``epoch``.
    """
    scores = logits(runtime, network, source, "validation")
    targets = torch.from_numpy(source.targets)
    loss = float(F.cross_entropy(scores.double(), targets))
    if not math.isfinite(loss):
        raise NotFiniteError(f"the validation loss is {loss} after epoch {epoch}: try a lower lr")
    if calibrated:
        loss = float(calibrated_losses(scores.double().numpy(), source.targets).mean())
    return loss, float((scores.argmax(1) == targets).double().mean())
