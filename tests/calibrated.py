"""Copies of a model directory with a calibration, and what their probabilities must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from thaw.model import directory
from thaw.model.calibration import Calibration

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from thaw.model.spec import ModelSpec

TEMPERATURE = Calibration(scale=[0.5])
VECTOR = Calibration(scale=[0.5, 2.0, 1.0], offset=[0.5, -1.0, 0.25])
BOTH = {"temperature": TEMPERATURE, "vector": VECTOR}


def save_calibrated(
    model: Path, folder: Path, calibration: Calibration, *, mirrored: bool = False
) -> ModelSpec:
    """Write the model directory ``model`` with other last steps into ``folder``."""
    classifier, spec = directory.load(model, allow_others=True)
    reference = directory.load_reference(model, spec)
    spec = spec.model_copy(update={"calibration": calibration, "mirrored": mirrored})
    return directory.save(classifier, spec, folder, reference)


def mapped(logits: Tensor, calibration: Calibration) -> Tensor:
    """Return the probabilities (N, C) that belong to ``logits``, computed by hand."""
    values = logits.double() * torch.tensor(calibration.scale)
    return (values + (torch.tensor(calibration.offset) if calibration.offset else 0)).softmax(1)
