from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from tests import settings
from tests.store_fixtures import _mlflow_as_it_was, server, server_group
from thaw.errors import ThawError
from thaw.system.project_paths import SPOOL
from thaw.tracking import live_run
from thaw.tracking.delivery import deliver_waiting
from thaw.tracking.live_run import LiveRun
from thaw.tracking.store import connect
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import Run

    from thaw.config.params import Params

__all__ = ["_mlflow_as_it_was", "server", "server_group"]  # fixtures

DIGEST = "d" * 64
pytestmark = pytest.mark.usefixtures("stored")

# A stage that logs three epochs and waits to be killed.
STAGE = """
import sys, time
from tests import settings
from tests.store_fixtures import _mlflow_as_it_was, server, server_group
from thaw.training.history import EpochRow
from thaw.tracking.live_run import LiveRun

run = LiveRun(settings.PARAMS.model_copy(update={
    "tracking": settings.PARAMS.tracking.model_copy(update={"uri": sys.argv[1]})}), "d" * 64)
with run.stage("unfreeze"):
    for epoch in range(3):
        run.log_row("unfreeze", EpochRow(epoch, 1.0, 2.0 - epoch / 8, 0.5, 0.1))
    print("logged", flush=True)
    time.sleep(600)
"""


def params(uri: str = "", experiment: str = "thaw") -> Params:
    changes = {"uri": uri, "experiment": experiment}
    tracking = settings.PARAMS.tracking.model_copy(update=changes)
    return settings.PARAMS.model_copy(update={"tracking": tracking})


def row(epoch: int) -> EpochRow:
    return EpochRow(epoch, 1.0 if epoch else None, 2.0 - epoch / 8, 0.5, 0.1)


def runs(where: Params | None = None) -> list[Run]:
    client, experiment = connect((where or params()).tracking)
    return list(client.search_runs([experiment], order_by=["start_time"]))


def points(
    run: Run, key: str = "unfreeze/val_loss", where: Params | None = None
) -> list[tuple[int, float]]:
    client, _ = connect((where or params()).tracking)
    found = client.get_metric_history(run.info.run_id, key)
    return [(metric.step, metric.value) for metric in found]


def losses(last: int) -> list[tuple[int, float]]:
    return [(epoch, 2.0 - epoch / 8) for epoch in range(last + 1)]


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Lock the database as another process does that writes."""
    with contextlib.closing(sqlite3.connect("mlruns/mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield


def test_a_stage_logs_its_epochs_and_its_model_while_it_works() -> None:
    run = LiveRun(params(), DIGEST)
    with run.stage("unfreeze"):
        for epoch in range(3):
            run.log_row("unfreeze", row(epoch))
        run.computed("unfreeze", "abc")
    (found,) = runs()
    assert points(found) == losses(2)
    assert points(found, "unfreeze/train_loss") == [(1, 1.0), (2, 1.0)]
    assert found.data.tags["unfreeze.model"] == "abc"
    assert found.info.status == "RUNNING"
    assert not list(SPOOL.iterdir())


def test_the_next_stage_continues_the_run() -> None:
    for stage in ("warmup_head", "unfreeze"):
        run = LiveRun(params(), DIGEST)
        with run.stage(stage):
            run.log_row(stage, row(0))
    (found,) = runs()
    assert points(found, "warmup_head/val_loss") == points(found) == losses(0)


def test_a_resumed_stage_logs_no_epoch_twice() -> None:
    for first in (0, 2):
        run = LiveRun(params(), DIGEST)
        with run.stage("unfreeze"):
            for epoch in range(first, 4):
                run.log_row("unfreeze", row(epoch))
    (found,) = runs()
    assert points(found) == losses(3)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_a_stage_that_does_not_end_well_says_how_and_where(
    error: type[BaseException], status: str
) -> None:
    run = LiveRun(params(), DIGEST)
    with pytest.raises(error), run.stage("unfreeze"):
        raise error
    (found,) = runs()
    assert (found.info.status, found.data.tags["thaw.stopped_in"]) == (status, "unfreeze")
    assert found.data.tags["mlflow.note.content"].startswith("unfreeze stopped: ")


@pytest.mark.slow
def test_metrics_of_the_machine_continue_in_the_next_stage() -> None:
    fast = params()
    fast = fast.model_copy(
        update={"tracking": fast.tracking.model_copy(update={"system_metrics_seconds": 0.1})}
    )
    for stage in ("warmup_head", "unfreeze"):
        with LiveRun(fast, DIGEST).stage(stage):
            time.sleep(0.5)
    (found,) = runs()
    steps = [step for step, _ in points(found, "system/cpu_utilization_percentage")]
    assert len(steps) > 4
    assert steps == list(range(len(steps)))


def test_a_deleted_experiment_is_refused_at_the_start() -> None:
    client, experiment = connect(params().tracking)
    client.delete_experiment(experiment)
    with pytest.raises(ThawError, match="'thaw' was deleted in MLflow"):
        LiveRun(params(), DIGEST)


@pytest.mark.slow
def test_epochs_of_a_killed_stage_without_a_store_are_delivered_before_those_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    command = [sys.executable, "-c", STAGE, "http://127.0.0.1:9"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"logged\n"
        process.kill()
    (left,) = SPOOL.glob("*.jsonl")
    with left.open("ab") as stream:
        stream.write(b'{"metrics": {"unfreeze/val')  # killed while it wrote
    run = LiveRun(params(), DIGEST)
    with run.stage("unfreeze"):
        for epoch in (2, 3):
            run.log_row("unfreeze", row(epoch))
    (found,) = runs()
    assert points(found) == losses(3)
    assert not list(SPOOL.iterdir())


@pytest.mark.slow
def test_a_database_that_another_process_locks_costs_no_epoch(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_run, "_FILE_PATIENCE", 0.5)
    run = LiveRun(params(), DIGEST)
    with locked():
        started = time.monotonic()
        with run.stage("unfreeze"):
            for epoch in range(3):
                run.log_row("unfreeze", row(epoch))
        assert time.monotonic() - started < 5
    run._thread.join(60)
    error = capfd.readouterr().err
    assert "not all epochs are in MLflow" in error
    assert "Traceback" not in error
    run._spool.close()
    deliver_waiting(params().tracking)
    (found,) = runs()
    assert points(found) == losses(2)


@pytest.mark.slow
def test_a_server_that_does_not_answer_for_a_while_does_not_stop_training(
    server_group: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, group = server_group
    served = params(uri, "stopped for a while")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = LiveRun(served, DIGEST)
    stalls = []
    with run.stage("unfreeze"):
        for epoch in range(12):
            if epoch == 3:
                os.killpg(group, signal.SIGSTOP)
            if epoch == 9:
                os.killpg(group, signal.SIGCONT)
            started = time.monotonic()
            run.log_row("unfreeze", row(epoch))
            stalls.append(time.monotonic() - started)
            time.sleep(1)
    assert max(stalls) < 1.5, stalls  # an epoch that waits for the server waits 2 s
    deliver_waiting(served.tracking)
    (found,) = runs(served)
    assert points(found, where=served) == losses(11)
    assert not list(SPOOL.iterdir())


@pytest.mark.slow
def test_a_stage_that_ends_while_the_server_is_stopped_waits_a_second(
    server_group: tuple[str, int],
) -> None:
    uri, group = server_group
    served = params(uri, "stopped at the end")
    run = LiveRun(served, DIGEST)
    os.killpg(group, signal.SIGSTOP)
    started = time.monotonic()
    with run.stage("unfreeze"):
        for epoch in range(3):
            run.log_row("unfreeze", row(epoch))
    assert time.monotonic() - started < 20  # a request would wait 120 s
    os.killpg(group, signal.SIGCONT)
    run._thread.join(60)
    run._spool.close()
    deliver_waiting(served.tracking)
    (found,) = runs(served)
    assert points(found, where=served) == losses(2)
    assert MlflowClient(uri).get_run(found.info.run_id).info.status == "RUNNING"
