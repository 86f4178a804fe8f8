"""The section ``promote`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thaw.config.section import Positive, Section

Metric = Literal["accuracy", "macro_f1", "log_loss", "ece", "worst_class_recall"]
Measured = Metric | Literal["latency_ms", "size_mb"]


class Provenance(Section):
    """What must be known of how a version was made."""

    committed: bool
    data: bool
    dvc_lock: bool


class Promote(Section):
    """The rules by which a version becomes the champion."""

    floors: dict[Measured, float]
    ceilings: dict[Measured, float]
    better: Metric | Literal["none"]
    not_worse: dict[Metric, Positive]
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    class_margin: Annotated[float, Field(ge=0.0, le=1.0)]
    provenance: Provenance
