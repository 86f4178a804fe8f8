from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests import settings
from tests.store_fixtures import _mlflow_as_it_was, server
from tests.tracking.forwarding import forwarded, free_port
from thaw.errors import ThawError
from thaw.tracking import study_run
from thaw.tracking.result_run import ResultRun
from thaw.tracking.run_owner import PROCESS
from thaw.tracking.study_run import TRIAL, StudyRun, TrialRecord

__all__ = ["_mlflow_as_it_was", "server"]  # fixtures

CALLS = ("create_run", "log_batch", "set_terminated")
ROWS = [{"epoch": epoch, "train_loss": None if epoch == 0 else 0.5, "val_loss": 1 / (epoch + 1)}
        for epoch in range(3)]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> StudyRun:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return again()


def again() -> StudyRun:
    return StudyRun(settings.PARAMS, "mine", "data")


def trial(
    number: int = 0, state: str = "complete", reason: str = "", started: int = 1000
) -> TrialRecord:
    return TrialRecord(
        number,
        "",
        state,
        reason,
        {"unfreeze.lr": 0.1},
        {"log_loss": 0.3},
        ROWS,
        started,
        started + 1000,
    )


def children(run: StudyRun) -> list[Any]:
    return run._children()


def test_a_trial_is_a_child_with_its_values_curve_and_state(run: StudyRun) -> None:
    run.log_trial(trial(3, "pruned", "it was poor"))
    (child,) = children(run)
    assert child.data.tags["mlflow.parentRunId"] == run.run_id
    assert (child.data.tags["thaw.state"], child.data.tags["thaw.why"]) == ("pruned", "it was poor")
    assert child.data.params == {"unfreeze.lr": "0.1"}
    assert (child.info.status, child.info.start_time, child.info.end_time) == (
        "FINISHED", 1000, 2000,
    )  # fmt: skip
    history = run._client.get_metric_history(child.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_a_study_that_is_continued_has_one_run_and_repeats_nothing(run: StudyRun) -> None:
    run.log_trial(trial(0))
    other = again()
    assert other.run_id == run.run_id
    for number in (0, 1):
        other.log_trial(trial(number))
    assert Counter(child.data.tags[TRIAL] for child in children(other)) == {"0": 1, "1": 1}


def test_children_with_tags_that_no_search_writes_do_not_stop_a_search(run: StudyRun) -> None:
    run.log_trial(trial(0))
    (child,) = children(run)
    run._client.set_tag(child.info.run_id, TRIAL, "[x]")
    run._client.set_tag(child.info.run_id, "thaw.state", "odd")
    run._client.update_run(child.info.run_id, status="RUNNING")
    again().log_trial(trial(0))
    found = {child.data.tags[TRIAL]: child.info.status for child in children(run)}
    assert found == {"[x]": "KILLED", "0": "FINISHED"}


LATER = 10**13  # than any run of a test begins


def test_a_half_written_child_is_not_taken_for_the_study_s_run(
    run: StudyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            run.log_trial(trial(7, started=LATER))
    other = again()
    assert other.run_id == run.run_id
    assert [child.info.status for child in children(other)] == ["KILLED"]


@pytest.mark.parametrize("started", [1000, LATER])
def test_the_study_s_run_is_found_behind_more_children_than_a_page_has(
    started: int, run: StudyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        run.log_trial(trial(number, started=started))
    real = MlflowClient.search_runs

    def small(*arguments: Any, **named: Any) -> Any:
        return real(*arguments, **{**named, "max_results": 2})

    monkeypatch.setattr(MlflowClient, "search_runs", small)
    other = again()
    assert other.run_id == run.run_id
    assert other.logged == {0, 1, 2}


@pytest.mark.slow
def test_the_run_of_a_killed_search_is_closed_by_the_next_pipeline(
    run: StudyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status() -> str:
        return str(run._client.get_run(run.run_id).info.status)

    ResultRun(settings.PARAMS, "data")
    assert status() == "RUNNING"  # this process lives
    process = run._client.get_run(run.run_id).data.tags[PROCESS]
    host = process.partition(":")[0]
    monkeypatch.setattr("thaw.tracking.study_run.this_process", lambda: f"{host}:{2**22 + 1}")
    again()
    ResultRun(settings.PARAMS, "data")
    assert status() == "KILLED"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_an_interruption_at_any_point_leaves_each_trial_logged_once(
    call: str, when: str, run: StudyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(MlflowClient, call)

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.log_trial(trial(7))
    run.reread()
    run.log_trial(trial(7))
    found = children(run)
    assert [child.data.tags[TRIAL] for child in found if TRIAL in child.data.tags] == ["7"]
    assert {child.info.status for child in found} <= {"FINISHED", "KILLED"}


def test_a_store_that_goes_away_does_not_end_the_search(
    run: StudyRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", gone)
        run.log_trial(trial(0))
        run.log_trial(trial(1))
        patch.setattr(MlflowClient, "search_runs", gone)
        run.reread()  # as at the end of the search
    assert capsys.readouterr().err.count("MLflow does not answer") == 1
    assert children(run) == []
    later = again()
    for number in (0, 1):
        later.log_trial(trial(number))
    assert len(children(later)) == 2


@pytest.mark.slow
def test_a_search_starts_without_the_store_and_logs_its_trials_when_it_answers(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # else each attempt takes a minute
    monkeypatch.setattr(study_run, "_PAUSE", 0.1)
    port = free_port()
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": f"http://127.0.0.1:{port}"})
    params = settings.PARAMS.model_copy(update={"tracking": tracking})
    run = StudyRun(params, "away", "data")
    run.log_trial(trial(0))
    assert (run.run_id, run.logged) == ("", set())
    line = f"warning: the MLflow store http://127.0.0.1:{port} does not answer; the search goes on"
    assert capsys.readouterr().err.startswith(line)
    with forwarded(port, int(server.rpartition(":")[2])):
        while not run.run_id:
            time.sleep(0.2)
            run.log_trial(trial(0))
        run.reread()
        for number in (0, 1):  # as StudyLog does in every look: all trials that have finished
            run.log_trial(trial(number))
        assert Counter(child.data.tags[TRIAL] for child in children(run)) == {"0": 1, "1": 1}
    run.log_trial(trial(2))  # away again
    assert run.logged == {0, 1}
    with forwarded(port, int(server.rpartition(":")[2])):
        run.reread()
        run.log_trial(trial(2))
        run.finish("FINISHED", {"best": 0.3}, {}, Path("no-plots"))
        found = run._client.get_run(run.run_id)
    assert (found.info.status, found.data.metrics["best"]) == ("FINISHED", 0.3)


def test_a_store_that_refuses_ends_a_search_at_its_start(run: StudyRun) -> None:
    run._client.delete_experiment(run._experiment)
    with pytest.raises(ThawError, match=r"tracking\.experiment: 'thaw' was deleted in MLflow"):
        again()
