from __future__ import annotations

from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from thaw.config import metric_names
from thaw.metrics.registry import COSTS, METRICS


def test_the_accepted_names_are_those_of_the_registry() -> None:
    assert get_args(metric_names.MetricName) == tuple(METRICS)
    assert get_args(metric_names.MetricNameOrNone) == (*METRICS, "none")
    assert get_args(metric_names.QuantityName) == (*METRICS, *COSTS)


def test_an_unknown_name_is_refused() -> None:
    names: TypeAdapter[str] = TypeAdapter(metric_names.MetricName)
    assert names.validate_python("accuracy") == "accuracy"
    with pytest.raises(ValidationError, match="accuracy"):
        names.validate_python("acuracy")
