from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import pytest
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.tracking import MlflowClient

from thaw.tracking.pending_models import _is_left, is_being_written, remove_pending_models
from thaw.tracking.run_owner import PROCESS, this_process

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import LoggedModel
    from mlflow.store.entities import PagedList


@pytest.fixture
def client(tmp_path: Path, empty_store: Path) -> MlflowClient:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_store.read_bytes())
    return MlflowClient(f"sqlite:///{path}")


def model_of(client: MlflowClient, experiment: str, status: str, process: str) -> str:
    """Create a run and a pending model of it; return the id of the model."""
    run = client.create_run(experiment, tags={PROCESS: process}).info.run_id
    model = client.create_logged_model(experiment, name="model", source_run_id=run)
    if status != "RUNNING":
        client.set_terminated(run, status)
    return str(model.model_id)


def test_a_store_that_does_not_answer_is_no_missing_run(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _is_left(client, "0" * 32)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MlflowException, match="Connection refused"):
        _is_left(MlflowClient("http://127.0.0.1:9"), "0" * 32)


def left(client: MlflowClient, experiment: str) -> set[str]:
    return {str(model.model_id) for model in client.search_logged_models([experiment])}


@pytest.mark.parametrize(
    ("status", "process", "is_removed"),
    [
        ("FINISHED", this_process(), True),
        ("KILLED", "elsewhere:1", True),
        ("RUNNING", this_process(), False),
        ("RUNNING", "elsewhere:1", False),
        ("RUNNING", f"{this_process().rpartition(':')[0]}:999999999", True),
    ],
    ids=["finished", "killed", "running here", "running elsewhere", "process is gone"],
)
def test_a_pending_model_is_removed_unless_a_process_may_be_writing_it(
    client: MlflowClient, status: str, process: str, is_removed: bool
) -> None:
    experiment = client.create_experiment("e")
    model = model_of(client, experiment, status, process)
    remove_pending_models(client, experiment, own_run="")
    assert left(client, experiment) == (set() if is_removed else {model})


def test_a_complete_model_stays_and_a_pending_one_of_the_own_run_does_not(
    client: MlflowClient,
) -> None:
    experiment = client.create_experiment("e")
    complete = model_of(client, experiment, "FINISHED", this_process())
    client.finalize_logged_model(complete, LoggedModelStatus.READY)
    model_of(client, experiment, "RUNNING", this_process())
    (run,) = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    remove_pending_models(client, experiment, own_run=run.info.run_id)
    assert left(client, experiment) == {complete}


@pytest.mark.parametrize(
    ("process", "age", "is_removed"),
    [
        (f"{socket.gethostname()}:{os.getppid()}", 10_000, False),
        (f"{socket.gethostname()}:999999999", 0, True),
        (this_process(), 0, True),
        ("elsewhere:1", 10, False),
        ("elsewhere:1", 6 * 3600, False),
        ("elsewhere:1", -6 * 3600, False),
        ("elsewhere:1", 100_000, True),
    ],
    ids=[
        "running here",
        "process is gone",
        "this one",
        "elsewhere",
        "this clock is hours ahead",
        "this clock is hours behind",
        "elsewhere, long ago",
    ],
)
def test_the_process_that_a_model_names_decides_not_the_run_that_it_shares(
    client: MlflowClient, process: str, age: int, is_removed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment("e")
    run = client.create_run(experiment, tags={PROCESS: this_process()}).info.run_id
    model = client.create_logged_model(
        experiment, name="model", source_run_id=run, tags={PROCESS: process}
    )
    later = time.time() + age
    monkeypatch.setattr(time, "time", lambda: later)
    assert is_being_written(model) is not is_removed
    remove_pending_models(client, experiment, own_run=run)
    assert left(client, experiment) == (set() if is_removed else {model.model_id})


def test_a_database_that_refuses_to_compare_states_is_searched_without_a_condition(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment("e")
    complete = model_of(client, experiment, "FINISHED", this_process())
    client.finalize_logged_model(complete, LoggedModelStatus.READY)
    model_of(client, experiment, "FINISHED", this_process())
    search = client.search_logged_models

    def as_postgres(
        experiments: list[str], condition: str | None = None, page_token: str | None = None
    ) -> PagedList[LoggedModel]:
        if condition:
            raise MlflowException("operator does not exist: integer = varchar", BAD_REQUEST)
        return search(experiments, page_token=page_token)

    monkeypatch.setattr(client, "search_logged_models", as_postgres)
    remove_pending_models(client, experiment, own_run="")
    assert left(client, experiment) == {complete}
