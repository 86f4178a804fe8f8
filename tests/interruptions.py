"""Kill or interrupt `dvc repro` at a line of its output, and look for what remains."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import psutil
from mlflow.tracking import MlflowClient

if TYPE_CHECKING:
    import subprocess

    from mlflow.entities import Run

    from tests.project import Project


def save_after_every_epoch(project: Project) -> None:
    """Let a training write a checkpoint after each epoch, however short it is."""
    project.set(resources__checkpoint_minutes=1e-6)


def read_until(process: subprocess.Popen[str], line: str) -> str:
    """Return the output up to ``line``."""
    assert process.stdout is not None
    seen = ""
    for read in process.stdout:
        seen += read
        if line in read:
            return seen
    raise AssertionError(f"{line!r} was not printed:\n{seen}")


def trainers(project: Project) -> list[psutil.Process]:
    """Return the processes of stages that run in the project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = process.cwd() == str(project.folder)
            command = " ".join(process.cmdline())
            if inside and ("thaw.stages" in command or "thaw stage" in command):
                found.append(process)
        except psutil.Error:
            continue
    return found


def orphans(project: Project) -> list[psutil.Process]:
    """Return the stages that still run after some time."""
    _, alive = psutil.wait_procs(trainers(project), timeout=120)
    return alive


def kill_dvc(project: Project, line: str) -> str:
    """Start `dvc repro`, kill DVC alone with SIGKILL after ``line``; return the output."""
    process = project.start("dvc", "repro")
    seen = read_until(process, line)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return seen


def only_run(project: Project) -> tuple[MlflowClient, Run]:
    """Return the only MLflow run of the project, and the client that found it."""
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


def assert_one_run_without_repeated_metrics(project: Project) -> None:
    """Fail if the project has several runs, or its run has two values of a metric for a step."""
    client, run = only_run(project)
    assert run.info.status == "FINISHED"
    for key in run.data.metrics:
        if not key.startswith("system/"):
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps)), f"{key} was logged twice"
