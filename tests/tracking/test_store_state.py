"""The state of the MLflow store for `thaw doctor`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import psutil
import pytest

from tests import settings
from thaw.tracking import store
from thaw.tracking.run_owner import PROCESS, this_process
from thaw.tracking.store_scope import unchanged_store
from thaw.tracking.store_state import examine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACKING = settings.PARAMS.tracking


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder as the project, without a store in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with unchanged_store():
        yield tmp_path


def test_a_store_that_does_not_exist_is_no_error_and_is_not_created(project: Path) -> None:
    assert examine(TRACKING).answers
    assert list(project.iterdir()) == []


def test_runs_of_ended_processes_are_counted_and_left_as_they_are() -> None:
    client, experiment = store.connect(TRACKING)
    free = next(pid for pid in range(400_000, 500_000) if not psutil.pid_exists(pid))
    dead = client.create_run(experiment, tags={PROCESS: f"{socket.gethostname()}:{free}"})
    client.create_run(experiment, tags={PROCESS: this_process()})
    state = examine(TRACKING)
    assert (state.answers, state.live_runs, state.dead_runs) == (True, 1, 1)
    assert f"1 run of the experiment {TRACKING.experiment} is active now" in state.text
    assert client.get_run(dead.info.run_id).info.status == "RUNNING"


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_named_with_the_reason() -> None:
    away = TRACKING.model_copy(update={"uri": "http://127.0.0.1:9"})
    state = examine(away)
    assert not state.answers
    assert "127.0.0.1:9" in state.text


def test_a_run_of_another_store_or_a_deleted_one_is_not_there() -> None:
    assert not examine(TRACKING, "0" * 32).has_result  # there is no store
    client, experiment = store.connect(TRACKING)
    run_id = client.create_run(experiment).info.run_id
    assert examine(TRACKING, run_id).has_result
    assert not examine(TRACKING, "0" * 32).has_result
    client.delete_run(run_id)
    assert not examine(TRACKING, run_id).has_result
