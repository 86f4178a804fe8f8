"""The sections ``data``, ``prepare`` and ``augment`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thaw.config.section import Fraction, NonNegative, Section, Text


class Data(Section):
    """Where the labelled images are."""

    source: Literal["digits", "folder", "csv"]
    path: Text
    root: Text


class Prepare(Section):
    """How images are checked, split and packed."""

    val_fraction: Annotated[float, Field(gt=0.0, lt=0.5)]
    test_fraction: Annotated[float, Field(gt=0.0, lt=0.5)]
    short_side: Annotated[int, Field(ge=8)]
    near_duplicates: Annotated[int, Field(ge=0, le=16)]
    encoding: Literal["raw", "jpeg"]
    max_megapixels: Annotated[float, Field(gt=0.0, le=178.0)]  # Pillow refuses more by itself


class Augment(Section):
    """Random changes of a training image, drawn from (seed, epoch, image id)."""

    crop: Fraction
    flip: Annotated[float, Field(ge=0.0, le=1.0)]
    rotate: Annotated[float, Field(ge=0.0, le=180.0)]
    shift: Fraction
    zoom: Fraction
    brightness: Fraction
    contrast: Fraction
    saturation: Fraction
    hue: Annotated[float, Field(ge=0.0, le=0.5)]
    tint: Fraction
    randaugment: Annotated[int, Field(ge=0)]
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)]
    noise: NonNegative
    mixup: NonNegative
    cutmix: NonNegative

    @property
    def active(self) -> bool:
        """Whether any image is changed at all."""
        values = self.model_dump(exclude={"randaugment_magnitude"})
        return any(value > 0 for value in values.values())
