from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mlflow.entities import Metric

from thaw.tracking.run_logging import MAX_METRICS, MAX_PARAMS_OR_TAGS, log_in_batches

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class RecordingClient:
    """Stores the requests instead of sending them."""

    def __init__(self) -> None:
        self.requests: list[tuple[list[Any], list[Any], list[Any]]] = []

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        assert run_id == "run"
        self.requests.append((list(metrics), list(params), list(tags)))


def log(**values: Any) -> list[tuple[list[Any], list[Any], list[Any]]]:
    client = RecordingClient()
    log_in_batches(cast("MlflowClient", client), "run", **values)
    return client.requests


def test_all_values_are_sent_once_within_the_limits_of_the_server() -> None:
    metrics = [Metric("loss", 0.5, 0, step) for step in range(2500)]
    params = {f"p{number}": "1" for number in range(250)}
    tags = {f"t{number}": "1" for number in range(150)}
    requests = log(metrics=metrics, params=params, tags=tags)
    sent_metrics, sent_params, sent_tags = zip(*requests, strict=True)
    assert [m.step for batch in sent_metrics for m in batch] == list(range(2500))
    assert [p.key for batch in sent_params for p in batch] == list(params)
    assert [t.key for batch in sent_tags for t in batch] == list(tags)
    assert max(map(len, sent_metrics)) <= MAX_METRICS
    assert max(map(len, sent_params + sent_tags)) <= MAX_PARAMS_OR_TAGS


def test_tags_are_sent_after_everything_else() -> None:
    requests = log(metrics=[Metric("loss", 0.5, 0, 0)], params={"a": "1"}, tags={"done": "yes"})
    assert [(len(m), len(p), len(t)) for m, p, t in requests] == [(1, 1, 0), (0, 0, 1)]


def test_nothing_is_sent_if_there_are_no_values() -> None:
    assert log() == []
