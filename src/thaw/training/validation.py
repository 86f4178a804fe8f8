"""The scores of a network on the validation split during training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from thaw.training.calibration import kept_losses
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from torch import nn

    from thaw.config.regularize_section import CalibrationSetting
    from thaw.data.loading import Source
    from thaw.training.runtime import Runtime


def validate(
    runtime: Runtime,
    network: nn.Module,
    source: Source,
    epoch: int,
    *,
    calibration: CalibrationSetting = "off",
) -> tuple[float, float]:
    """Return the mean cross-entropy (nats) and the accuracy of ``network`` on ``source``.

    The cross-entropy is computed after calibration, as it will be for the trained model. Where that
    is vector scaling, a temperature is fitted instead: vector scaling takes too long in each epoch.

    Raises:
        NotFiniteError: the loss is not finite; the message names ``epoch``.
    """
    scores = logits(runtime, network, source, "validation")
    targets = torch.from_numpy(source.targets)
    loss = float(F.cross_entropy(scores.double(), targets))
    if not math.isfinite(loss):
        raise NotFiniteError(f"the validation loss is {loss} after epoch {epoch}: try a lower lr")
    if calibration != "off":
        known = scores.double().numpy()
        losses = kept_losses(known, source.targets, calibration, tries_vector=False)
        loss = float(losses.mean())
    return loss, float((scores.argmax(1) == targets).double().mean())
