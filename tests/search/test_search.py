"""The verb `thaw search` in a copy of this project: killed workers, ctrl-C, several ranks."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from optuna.trial import TrialState

from tests.project import Project
from tests.search import killing

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("search"))
    made.small()
    killing.search_heads_only(made)
    made.set(backbone__name="lenet5", backbone__weights="none", search__confirm_seeds=1)
    made.run("dvc", "repro", "prepare")
    return made


def trials_of(project: Project) -> list[FrozenTrial]:
    try:
        return killing.study_of(project).get_trials(deepcopy=False)
    except (IndexError, KeyError, OSError):  # not created yet
        return []


def test_a_search_with_a_killed_worker_is_interrupted_and_continued_to_the_exact_number(
    template: Project,
) -> None:
    process = template.start("thaw", "search", "--trials", "400", "--workers", "2")
    killed: set[int] = set()
    while not killed or len(trials_of(template)) < 8:
        time.sleep(0.1)
        assert process.poll() is None
        if not (template.folder / "mlruns/search.db").exists():
            continue
        running = [trial for trial in trials_of(template) if trial.state == TrialState.RUNNING]
        for worker in killing.workers_in_a_trial(template, running)[: 1 - len(killed)]:
            worker.send_signal(signal.SIGKILL)
            killed.add(worker.pid)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "the same command continues the search" in output
    assert not killing.workers_of(template)
    running = [trial for trial in trials_of(template) if trial.state == TrialState.RUNNING]
    assert {trial.user_attrs["worker"]["pid"] for trial in running} <= killed

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
    assert "1 trials: 1 complete" in output
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
