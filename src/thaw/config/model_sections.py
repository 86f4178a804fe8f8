"""The sections ``backbone`` and ``head`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thaw.config.section import Count, Fraction, Section, Text


class Backbone(Section):
    """The pretrained network and the input it sees."""

    name: Text
    weights: Text
    init: Literal["he", "glorot"]
    gabor: bool
    layerwise_epochs: Annotated[int, Field(ge=0)]
    image_size: Annotated[int, Field(ge=8)]
    crop_pct: Annotated[float, Field(gt=0.0, le=1.0)]


class Head(Section):
    """The small network that is put on the backbone."""

    taps: list[Count]
    hidden: list[Count]
    activation: Literal["relu", "gelu", "silu", "tanh"]
    norm: Literal["none", "batch", "layer"]
    dropout: Fraction
