"""The section ``promote`` of ``params.yaml``: the rules of the gate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from thaw.config.metric_names import MetricName, MetricNameOrNone, QuantityName
from thaw.config.parameter import parameter
from thaw.config.section import Probability, Section
from thaw.config.text_patterns import PUBLIC_KEY

_Bound = Annotated[float, Field(ge=-1e9, le=1e9)]
_Margin = Annotated[float, Field(gt=0.0, le=1.0)]

# What the gate protects against: a bad model, a worse one, a worse class, unknown origin.
Protection = Literal["floor", "comparison", "classes", "committed", "data", "dvc_lock"]
PublicKey = Annotated[str, StringConstraints(pattern=PUBLIC_KEY)]


class Provenance(Section):
    """Required records of how a version was made."""

    committed: bool = parameter(
        default=True,
        description="Code and parameters must have been committed when the run started.",
    )
    data: bool = parameter(
        default=True,
        description="The run must record its data, and the data must be the data of this project.",
    )
    dvc_lock: bool = parameter(
        default=True,
        description="dvc.lock must be the one that the run was logged with.",
    )


class Promote(Section):
    """The rules by which a version becomes the champion."""

    floors: dict[QuantityName, _Bound] = parameter(
        {"accuracy": 0.7, "worst_class_recall": 0.4},
        "Lowest value that passes, by metric, latency_ms (one image at a time) or size_mb. What "
        "you write replaces all of the default.",
    )
    ceilings: dict[QuantityName, _Bound] = parameter(
        {"ece": 0.2, "latency_ms": 1000.0},
        "Highest value that passes, by metric, latency_ms (one image at a time) or size_mb. What "
        "you write replaces all of the default.",
    )
    better: MetricNameOrNone = parameter(
        "none", "Metric in which a version must be better than the champion."
    )
    not_worse: dict[MetricName, _Margin] = parameter(
        {"accuracy": 0.02, "log_loss": 0.05},
        "By metric: how much worse than the champion a version may be, at most 1. What you write "
        "replaces all of the default.",
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = parameter(
        0.95, "Confidence of each paired test (better and not_worse)."
    )
    class_margin: Probability = parameter(
        0.12, "How much lower than the champion's the recall of a class may be."
    )
    minimum: list[Protection] = parameter(
        ["floor", "comparison"],
        "Protections that the rules must leave on: the gate refuses while one of them is off.",
    )
    public_keys: list[PublicKey] = parameter(
        [],
        "Public keys (ed25519:...) of those who may decide. With any, only decisions that one of "
        "them signed count. `thaw signing-key FILE` makes a pair.",
        source="RFC 8032",
    )
    provenance: Provenance = Provenance()
