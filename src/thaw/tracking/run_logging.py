"""Write many values to an MLflow run in as few requests as the server allows."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

MAX_METRICS, MAX_PARAMS_OR_TAGS = 1000, 100  # per request: limits of the MLflow server


def log_in_batches(
    client: MlflowClient,
    run_id: str,
    *,
    metrics: Sequence[Metric] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write ``metrics`` and ``params`` to a run in batches, then ``tags``.

    The tags come last, so that a tag can mark a run as complete.
    """
    from mlflow.entities import Param, RunTag

    values = [Param(key, value) for key, value in (params or {}).items()]
    marks = [RunTag(key, value) for key, value in (tags or {}).items()]
    batches = zip_longest(
        _batches(metrics, MAX_METRICS), _batches(values, MAX_PARAMS_OR_TAGS), fillvalue=()
    )
    for some_metrics, some_values in batches:
        client.log_batch(run_id, list(some_metrics), list(some_values))
    for some_marks in _batches(marks, MAX_PARAMS_OR_TAGS):
        client.log_batch(run_id, tags=list(some_marks))


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
