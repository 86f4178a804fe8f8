"""Calibrated probabilities: the last step of a model, from logits to probabilities.

Temperature scaling divides all logits by one number. Vector scaling has a factor and an offset for
each class. ``thaw.training.calibration`` fits both.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

if TYPE_CHECKING:
    from thaw.literals import CalibrationMap

# The bounds of both kinds of values; a fitted value outside of them would hide a broken model.
SMALLEST_SCALE, LARGEST_SCALE, LARGEST_OFFSET = 1 / 64, 64.0, 64.0
Scale = Annotated[float, Field(ge=SMALLEST_SCALE, le=LARGEST_SCALE, allow_inf_nan=False)]
Offset = Annotated[float, Field(ge=-LARGEST_OFFSET, le=LARGEST_OFFSET, allow_inf_nan=False)]


class Calibration(BaseModel):
    """The affine map of the logits before softmax: ``scale * logits + offset``.

    ``scale`` is one factor for all classes (1 / temperature) or one for each class, ``offset`` is
    empty or has one value for each class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Annotated[list[Scale], Field(min_length=1)] = [1.0]
    offset: list[Offset] = []

    @model_validator(mode="after")
    def _fit_together(self) -> Calibration:
        if len(self.offset) not in {0, len(self.scale)} or (len(self.scale) == 1 and self.offset):
            raise ValueError("there must be one scale, or a scale and an offset for each class")
        return self

    @property
    def kind(self) -> Literal["none", CalibrationMap]:
        """The kind of the map; ``none`` changes no logit."""
        if len(self.scale) > 1:
            return "vector"
        return "none" if self.scale == [1.0] else "temperature"

    def fits(self, classes: int) -> bool:
        """Return whether the map is one of ``classes`` logits."""
        return len(self.scale) == 1 or len(self.scale) == classes


class CalibratedSoftmax(nn.Module):
    """Logits (N, C) to probabilities (N, C), in the type of the logits; None calibrates nothing.

    It is a module so that its values move to the device and into exported graphs with the network.
    """

    scale: Tensor | None
    offset: Tensor | None

    def __init__(self, calibration: Calibration | None) -> None:
        super().__init__()
        changes = calibration is not None and calibration.kind != "none"
        scale = calibration.scale if calibration and changes else []
        offset = calibration.offset if calibration else []
        self.register_buffer("scale", torch.tensor(scale) if scale else None)
        self.register_buffer("offset", torch.tensor(offset) if offset else None)

    def forward(self, logits: Tensor) -> Tensor:
        """Return the probabilities (N, C)."""
        if self.scale is not None:
            logits = logits * self.scale.to(logits.dtype)
        if self.offset is not None:
            logits = logits + self.offset.to(logits.dtype)
        return logits.softmax(dim=1)
