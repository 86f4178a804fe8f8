"""A search whose workers are killed while it runs, as one command."""

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

from thaw.search import storage
from thaw.search.study import CONFIRM, root

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.trial import FrozenTrial

    from tests.project import Project


@dataclass(frozen=True)
class Outcome:
    """A search's trials, those that ended well, how often at most, MLflow's child runs."""

    killed: int
    trials: int
    ended: int
    most: int
    attempts: int
    children: int


def head_only(project: Project) -> None:
    """Trials of a fraction of a second."""
    text = (project.folder / "params.yaml").read_text()
    depth = "    unfreeze.depth: {low: 0, high: 9, log: false}"
    assert depth in text
    (project.folder / "params.yaml").write_text(text.replace(depth, "    unfreeze.depth: [0]"))
    project.set(unfreeze__depth=0, launch__threads=1)


def workers_of(project: Project) -> list[psutil.Process]:
    """The search's workers that run in the project's folder."""
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
    """The only search's study."""
    # As thaw opens it: whoever opens it at the same time by Optuna alone makes the same tables.
    opened = storage.connect(f"sqlite:///{project.folder}/mlruns/search.db")
    names = [name for name in optuna.get_all_study_names(opened) if not name.endswith(CONFIRM)]
    return optuna.load_study(study_name=names[0], storage=opened)


def in_a_trial(project: Project, running: list[FrozenTrial]) -> list[psutil.Process]:
    """The workers that have said which trial they run."""
    pids = {trial.user_attrs.get("worker") for trial in running}
    return [worker for worker in workers_of(project) if worker.pid in pids]


def anywhere(project: Project, _: list[FrozenTrial]) -> list[psutil.Process]:
    """The workers, whatever they do: as they start, take a trial, tell its result."""
    return workers_of(project)


def run_and_kill(
    project: Project,
    trials: int,
    workers: int,
    kills: int,
    victims: Callable[[Project, list[FrozenTrial]], list[psutil.Process]] = in_a_trial,
) -> Outcome:
    """Search, and SIGKILL one of the ``victims``, ``kills`` times over the search."""
    process = project.start("thaw", "search", "--trials", str(trials), "--workers", str(workers))
    chance = random.Random(0)
    killed = 0
    while killed < kills and process.poll() is None:
        time.sleep(0.1)
        if not (project.folder / "mlruns/search.db").exists():
            continue
        try:
            study = study_of(project)
        except (IndexError, KeyError):  # not made yet
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
    return judge(project, killed)


def judge(project: Project, killed: int) -> Outcome:
    """Count what the storage and MLflow hold."""
    trials = study_of(project).get_trials(deepcopy=False)
    well = [trial for trial in trials if trial.state in {TrialState.COMPLETE, TrialState.PRUNED}]
    each = Counter(root(trial) for trial in well)
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    numbers = [run.data.tags["thaw.trial"] for run in runs if "thaw.trial" in run.data.tags]
    assert len(numbers) == len(set(numbers)), "a trial was logged twice"
    return Outcome(
        killed=killed,
        trials=len({root(trial) for trial in trials}),
        ended=len(each),
        most=max(each.values()),
        attempts=len(trials),
        children=len(numbers),
    )
