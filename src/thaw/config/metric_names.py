"""Types of parameters that name a metric. The names are those of the registry of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from thaw.metrics.registry import COSTS, METRICS

if TYPE_CHECKING:
    # A type checker cannot read names that are computed.
    MetricName = str
    MetricNameOrNone = str
    QuantityName = str
else:
    MetricName = Literal[*METRICS]
    MetricNameOrNone = Literal[*METRICS, "none"]
    QuantityName = Literal[*METRICS, *COSTS]
