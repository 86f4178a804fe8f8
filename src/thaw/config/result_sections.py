"""The sections ``evaluate`` and ``tracking`` of ``params.yaml``."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from thaw.config.parameter import parameter
from thaw.config.section import OptionalText, Section
from thaw.config.text_patterns import EXPERIMENT_NAME, MODEL_NAME

_ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME, max_length=250)]
_DECISION = re.compile(r"promotion/[^/]+/[^/]+/")  # promotion/MODEL/ALIAS/NUMBER


def _not_a_decision(name: str) -> str:
    """Return ``name``.

    Raises:
        PydanticCustomError: it is that of a decision in the history of a model.
    """
    if _DECISION.match(name):
        raise PydanticCustomError(
            "row", "choose another name: promotion/MODEL/ALIAS/NUMBER are decisions of the gate"
        )
    return name


_ExperimentName = Annotated[
    str,
    StringConstraints(pattern=EXPERIMENT_NAME, max_length=250),
    AfterValidator(_not_a_decision),
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
    report: Literal["all", "full", "short", "off"] = parameter(
        "full",
        "Report page reports/index.html: with heat maps and a check of the labels (full), without "
        "them (short), with them and what `thaw probe` measures (all), or no page (off).",
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
