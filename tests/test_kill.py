"""Killed anywhere, continued to the same bits; nobody lives on as an orphan."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from mlflow.tracking import MlflowClient

from tests.project import Project

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.slow

# A line of `dvc repro` after which DVC is killed: something in every stage.
KILLED_AT = (
    "Running stage 'prepare'",
    "Running stage 'warmup_head'",
    "epoch 2/4",
    "Running stage 'unfreeze'",
    "epoch 1/3",
    "epoch 2/3",
    "epoch 1/2",
    "Running stage 'evaluate'",
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    project.small()
    project.run("dvc", "repro")
    return project


def _read_until(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdout is not None
    seen = ""
    for read in process.stdout:
        seen += read
        if line in read:
            return seen
    raise AssertionError(f"{line!r} was not printed:\n{seen}")


def _trainers(project: Project) -> list[psutil.Process]:
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


def _gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not alive


def test_kills_in_every_stage_leave_the_same_bits(
    undisturbed: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = Project(tmp_path_factory.mktemp("killed"))
    project.small()
    project.set(resources__checkpoint_minutes=1e-6)  # an epoch may be too short to be worth one
    continued = 0
    for line in KILLED_AT:
        process = project.start("dvc", "repro")
        seen = _read_until(process, line)
        continued += "continuing after epoch" in seen
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)  # DVC alone: its children must follow by themselves
        process.wait()
        assert _gone(_trainers(project)), "a trainer outlived the killed DVC"
    output = project.run("dvc", "repro")
    continued += "continuing after epoch" in output
    assert continued >= 3
    assert project.digests() == undisturbed.digests()
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    for key in run.data.metrics:
        if not key.startswith("system/"):
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps)), f"{key} was logged twice"


def test_ctrl_c_stops_cleanly_a_killed_trainer_is_a_failed_stage_and_both_are_continued(
    undisturbed: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = Project(tmp_path_factory.mktemp("interrupted"))
    project.small()
    process = project.start("dvc", "repro")
    _read_until(process, "epoch 1/3")
    os.killpg(process.pid, signal.SIGINT)  # what a terminal's ctrl-C does
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in output
    assert "continues from the last checkpoint" in output
    assert _gone(_trainers(project))
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    process = project.start("dvc", "repro")
    _read_until(process, "val loss")
    for trainer in _trainers(project):
        trainer.kill()
    process.communicate()
    assert process.returncode != 0
    project.run("dvc", "repro")
    assert project.digests() == undisturbed.digests()


def test_a_second_trainer_refuses_and_names_the_first(
    undisturbed: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = Project(tmp_path_factory.mktemp("second"))
    project.small()
    process = project.start("dvc", "repro")
    _read_until(process, "epoch 1/3")
    refused = project.run("thaw", "stage", "unfreeze", code=2)
    assert "the stage unfreeze is already running as process" in refused
    process.communicate()
    assert process.returncode == 0
    assert project.digests() == undisturbed.digests()


def test_two_processes_train_through_the_whole_pipeline(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = Project(tmp_path_factory.mktemp("two"))
    project.small()
    project.set(launch__processes=2)
    output = project.run("dvc", "repro")
    assert "registered classifier version 1" in output
