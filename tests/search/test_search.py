"""The verb itself, in a copy of the project: killed workers, ctrl-C, several ranks."""

from __future__ import annotations

import os
import signal
import time

import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from tests.project import Project
from tests.search import kills

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("search"))
    made.small()
    kills.head_only(made)
    made.set(search__confirm_seeds=2)
    made.run("dvc", "repro", "prepare")
    return made


def test_killed_workers_lose_no_trial_and_count_none_twice(project: Project) -> None:
    outcome = kills.run_and_kill(project, trials=24, workers=2, kills=2)
    assert outcome.killed == 2
    assert (outcome.trials, outcome.ended, outcome.most) == (24, 24, 1)
    assert outcome.attempts == 26
    assert outcome.children == 26  # an attempt is a run, and says that its worker was killed
    shown = project.run("thaw", "search", "--show")
    assert "24 trials" in shown
    assert "winner: trial" in shown
    assert "2 tried again" in shown


def test_it_was_logged_with_its_pictures(project: Project) -> None:
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    names = {item.path for item in client.list_artifacts(parents[0].info.run_id, "search")}
    assert "search/search.html" in names
    assert {"search/history.png", "search/importances.png", "search/slice.png"} <= names
    curves = [run for run in runs if run.data.tags.get("thaw.state") == "complete"]
    assert all("val_loss" in run.data.metrics for run in curves)


def test_ctrl_c_ends_with_what_there_is_and_the_same_command_continues(project: Project) -> None:
    before = len(kills.study_of(project).get_trials(deepcopy=False))
    process = project.start("thaw", "search", "--trials", "400")
    while len(kills.study_of(project).get_trials(deepcopy=False)) < before + 3:
        time.sleep(0.2)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "the same command continues the search" in output
    assert not kills.workers_of(project)
    trials = kills.study_of(project).get_trials(deepcopy=False)
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    ended = kills.judge(project, 0).ended
    project.run("thaw", "search", "--trials", str(ended + 2))
    assert kills.judge(project, 0).ended == ended + 2


def test_two_ranks_train_each_trial_together(project: Project) -> None:
    project.set(launch__processes=2)
    project.run("thaw", "search", "--trials", "4", "--study", "two")
    assert "4 trials" in project.run("thaw", "search", "--show", "--study", "two")
