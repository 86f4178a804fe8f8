"""The section ``search`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from thaw.config.metric_names import MetricName
from thaw.config.parameter import parameter
from thaw.config.section import OptionalText, Section

_End = Annotated[float, Field(ge=-1e9, le=1e9)]
_Key = Annotated[str, StringConstraints(max_length=100)]
_Choices = Annotated[list[Any], Field(max_length=1000)]


class Range(Section):
    """A range of numbers that a search draws from, both ends included."""

    low: _End = Field(description="Lowest value.")
    high: _End = Field(description="Highest value.")
    log: bool = Field(description="Draw on a logarithmic scale.")


_SPACE: dict[str, Any] = {
    "head.hidden": [[], [64], [256]],
    "unfreeze.depth": Range(low=0, high=9, log=False),
    "warmup_head.lr": [0.0005, 0.002, 0.008],
    "unfreeze.lr": Range(low=0.00003, high=0.003, log=True),
}


class Search(Section):
    """Search space and objective of `thaw search`."""

    space: Annotated[dict[_Key, Range | _Choices], Field(max_length=100)] = parameter(
        _SPACE,
        "By the key of a parameter of head, augment, regularize, warmup_head or unfreeze, or "
        "backbone.name: a list of choices, or a range {low, high, log}. Trials with equal "
        "parameters of head and warmup_head share the heads they start from.",
    )
    objective: MetricName = parameter(
        "log_loss", "Metric of the validation split that the search optimises."
    )
    latency: bool = parameter(
        default=False,
        description="Minimise latency per image as a second objective; then no trial is pruned.",
    )
    pruner: Literal["hyperband", "successive_halving", "none"] = parameter(
        "hyperband",
        "Rule that stops trials early, by the validation loss of each epoch.",
        source="Li et al. 2018 (Hyperband); Jamieson & Talwalkar 2016",
    )
    views: Annotated[int, Field(ge=1, le=10_000)] = parameter(
        8,
        "Augmented views of each training image whose activations are cached (resources.cache_gb "
        "limits them).",
        unit="views",
    )
    confirm_seeds: Annotated[int, Field(ge=0, le=1000)] = parameter(
        3,
        "New seeds with which the best trial and the runner-up train again; 0 confirms nothing.",
        unit="seeds",
    )
    storage: OptionalText = parameter(
        "",
        'Database of the study: "" is sqlite in mlruns/; postgresql://... or mysql://... can be '
        "shared by several machines.",
    )
    artifacts: OptionalText = parameter(
        "",
        "Store on which the workers of several machines share trained heads: a folder that all of "
        'them see, s3://BUCKET or gs://BUCKET; "" shares none.',
    )
