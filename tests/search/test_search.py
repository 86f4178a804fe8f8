"""The verb `thaw search` in a copy of this project: killed workers, ctrl-C, several ranks."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from optuna.trial import TrialState

from tests import tiny
from tests.forks import Forks
from tests.project import Project
from tests.search import killing
from thaw.search.attempt import WORKER

if TYPE_CHECKING:
    import optuna

pytestmark = pytest.mark.pipelines


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("search") / "project")
    tiny.set_up(made)
    killing.search_heads_only(made)
    made.set(warmup_head__epochs=30, search__confirm_seeds=1)
    Forks(made, processes=1).stage("prepare")
    return made


def wait_for_study(project: Project) -> optuna.Study:
    """Wait until the search has created its study."""
    while True:
        time.sleep(0.5)
        if (project.folder / "mlruns/search.db").exists():
            with contextlib.suppress(IndexError, KeyError):
                return killing.study_of(project)


def test_a_search_with_a_killed_worker_is_interrupted_and_continued_to_the_exact_number(
    template: Project,
) -> None:
    process = template.start("thaw", "search", "--trials", "400", "--workers", "2")
    killed: set[int] = set()
    study = wait_for_study(template)
    while not killed or len(study.get_trials(deepcopy=False)) < 6:
        time.sleep(0.2)
        assert process.poll() is None
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for worker in killing.workers_in_a_trial(template, running)[: 1 - len(killed)]:
            if killing.kill_within_a_trial(worker, study):
                killed.add(worker.pid)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=300)  # on a busy machine, too
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "the same command continues the search" in output
    assert not killing.workers_of(template)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    assert {trial.user_attrs[WORKER]["pid"] for trial in running} <= killed

    trials = killing.outcome_of(template, 1).trials + 2
    template.run("thaw", "search", "--trials", str(trials))
    outcome = killing.outcome_of(template, 1)
    assert (outcome.trials, outcome.trials_with_result) == (trials, trials)
    assert outcome.most_results_of_a_trial == 1
    assert outcome.attempts > trials  # the killed one, and those that ctrl-C interrupted
    assert outcome.child_runs == outcome.attempts  # each attempt is a run in MLflow


def test_two_ranks_train_a_trial_together_and_confirm_it(template: Project) -> None:
    template.set(launch__processes=2)
    output = template.run("thaw", "search", "--trials", "1", "--study", "two")
    assert "1 trial: 1 complete" in output
    assert "winner: trial 0 with log_loss" in output


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("victims", [killing.workers_in_a_trial, killing.all_workers])
def test_workers_killed_at_any_time_lose_no_trial_and_repeat_none(
    tmp_path_factory: pytest.TempPathFactory, seed: int, victims: killing.Victims
) -> None:
    project = Project(tmp_path_factory.mktemp("search"))
    project.small()
    killing.search_heads_only(project)
    project.set(search__confirm_seeds=2)
    project.run("dvc", "repro", "prepare")
    outcome = killing.run_and_kill(
        project, trials=24, workers=2, kills=3, victims=victims, chance=random.Random(seed)
    )
    assert outcome.killed == 3
    assert (outcome.trials, outcome.most_results_of_a_trial) == (24, 1)
    assert outcome.trials_with_result >= 23  # one may have been killed in both attempts
    assert outcome.child_runs == outcome.attempts
