"""The sections ``evaluate`` and ``tracking`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from thaw.config.section import Positive, Section


class Evaluate(Section):
    """How the test split is scored."""

    calibration_bins: Annotated[int, Field(ge=2)]
    tta_views: Annotated[int, Field(ge=0)]


class Tracking(Section):
    """Where MLflow keeps runs and models."""

    uri: str
    experiment: Annotated[str, StringConstraints(pattern=r"^[\w .@/-]+$")]
    registered_model: Annotated[str, StringConstraints(pattern=r"^[\w .-]+$")]
    system_metrics_seconds: Positive
