"""The sections ``evaluate`` and ``tracking`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from thaw.config.parameter import parameter
from thaw.config.section import OptionalText, Section

# MLflow keeps 256 characters. A name of dots or spaces alone would be no path in its addresses.
_ModelName = Annotated[
    str, StringConstraints(pattern=r"^[.-]*\w([\w .-]*[\w.-])?$", max_length=250)
]
_ExperimentName = Annotated[
    str, StringConstraints(pattern=r"^[.@/-]*\w([\w .@/-]*[\w.@/-])?$", max_length=250)
]


class Evaluate(Section):
    """Scoring of the test split."""

    calibration_bins: Annotated[int, Field(ge=2, le=1000)] = parameter(
        15, "Bins of the expected calibration error.", source="Guo et al. 2017"
    )
    tta_views: Annotated[int, Field(ge=0, le=1000)] = parameter(
        0,
        "Augmented views that test-time augmentation averages with the plain image; reported "
        "beside the plain scores.",
        unit="views",
        source="Krizhevsky et al. 2012",
    )
    report: Literal["full", "short", "off"] = parameter(
        "full",
        "Report page reports/index.html: with heat maps and a check of the labels, without them, "
        "or no page.",
    )


class Tracking(Section):
    """MLflow store of runs and models."""

    uri: OptionalText = parameter(
        "", 'Address of the MLflow store; "" uses MLFLOW_TRACKING_URI, else sqlite in mlruns/.'
    )
    experiment: _ExperimentName = parameter("thaw", "MLflow experiment of the runs.")
    registered_model: _ModelName = parameter(
        "classifier", "Name under which `evaluate` registers the model."
    )
    system_metrics_seconds: Annotated[float, Field(ge=0.1, le=86_400.0)] = parameter(
        5.0, "Time between samples of the system metrics.", unit="seconds"
    )
