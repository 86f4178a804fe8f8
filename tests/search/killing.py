"""A search in a project's folder whose workers are killed while it runs."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
import psutil
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from thaw.config.params import Params
from thaw.search import storage
from thaw.search.attempt import WORKER, first_attempt, is_claimed
from thaw.search.study import CONFIRMATION_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.trial import FrozenTrial

    from tests.project import Project

    Victims = Callable[[Project, list[FrozenTrial]], list[psutil.Process]]


@dataclass(frozen=True)
class Outcome:
    """Counts of a search's study and of its MLflow runs."""

    killed: int
    trials: int
    trials_with_result: int
    most_results_of_a_trial: int
    attempts: int
    child_runs: int


def search_heads_only(project: Project) -> None:
    """Change the space so that a trial takes a fraction of a second."""
    space = {**Params().model_dump()["search"]["space"], "unfreeze.depth": [0]}
    project.set(unfreeze__depth=0, launch__threads=1, search__space=space)


def workers_of(project: Project) -> list[psutil.Process]:
    """Return the worker processes that run in the project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = process.cwd() == str(project.folder)
            if inside and "thaw.search.worker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def study_of(project: Project) -> optuna.Study:
    """Return the study of the project's first search."""
    # Opened by thaw's function: Optuna's own could create the same tables at the same time.
    opened = storage.connect(f"sqlite:///{project.folder}/mlruns/search.db")
    names = optuna.get_all_study_names(opened)
    main = [name for name in names if not name.endswith(CONFIRMATION_SUFFIX)]
    return optuna.load_study(study_name=main[0], storage=opened)


def workers_in_a_trial(project: Project, running: list[FrozenTrial]) -> list[psutil.Process]:
    """Return the workers that have claimed one of the ``running`` trials."""
    pids = {trial.user_attrs[WORKER]["pid"] for trial in running if WORKER in trial.user_attrs}
    return [worker for worker in workers_of(project) if worker.pid in pids]


def kill_within_a_trial(worker: psutil.Process, study: optuna.Study) -> bool:
    """SIGKILL ``worker`` if it is still in a trial that it claimed; return whether it was."""
    worker.suspend()  # a trial takes a fraction of a second: it may have ended in the meantime
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if not any(
        trial.user_attrs[WORKER]["pid"] == worker.pid for trial in filter(is_claimed, running)
    ):
        worker.resume()
        return False
    worker.kill()
    return True


def all_workers(project: Project, _: list[FrozenTrial]) -> list[psutil.Process]:
    """Return the workers in any state: starting, taking a trial, storing a result."""
    return workers_of(project)


def run_and_kill(
    project: Project,
    trials: int,
    workers: int,
    kills: int,
    victims: Victims = workers_in_a_trial,
    chance: random.Random | None = None,
) -> Outcome:
    """Run a search and SIGKILL one of the ``victims`` ``kills`` times, spread over the search."""
    process = project.start("thaw", "search", "--trials", str(trials), "--workers", str(workers))
    chance = chance or random.Random(0)
    killed = 0
    while killed < kills and process.poll() is None:
        time.sleep(0.1)
        if not (project.folder / "mlruns/search.db").exists():
            continue
        try:
            study = study_of(project)
        except (IndexError, KeyError):  # not created yet
            continue
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        done = len(study.get_trials(deepcopy=False)) - len(running)
        alive = victims(project, running)
        if alive and done >= (killed + 1) * trials // (kills + 2):
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(alive).send_signal(signal.SIGKILL)
                killed += 1
    output, _ = process.communicate(timeout=3000)
    assert process.returncode == 0, output
    return outcome_of(project, killed)


def outcome_of(project: Project, killed: int) -> Outcome:
    """Count trials in the storage and runs in MLflow; no trial may have two runs."""
    trials = study_of(project).get_trials(deepcopy=False)
    ended = [trial for trial in trials if trial.state in {TrialState.COMPLETE, TrialState.PRUNED}]
    results = Counter(first_attempt(trial) for trial in ended)
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    numbers = [run.data.tags["thaw.trial"] for run in runs if "thaw.trial" in run.data.tags]
    assert len(numbers) == len(set(numbers)), "a trial was logged twice"
    return Outcome(
        killed=killed,
        trials=len({first_attempt(trial) for trial in trials}),
        trials_with_result=len(results),
        most_results_of_a_trial=max(results.values()),
        attempts=len(trials),
        child_runs=len(numbers),
    )
