"""`dvc repro` is interrupted in every way, and continued. Nothing of the result may change."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest
from mlflow.tracking import MlflowClient

from tests import tiny
from tests.forks import Forks
from tests.project import Project
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from mlflow.entities import Run

pytestmark = pytest.mark.slow

# Lines of `dvc repro` after which DVC is killed: at least one in each stage.
KILL_POINTS = (
    "Running stage 'prepare'",
    "Running stage 'warmup_head'",
    "epoch 2/4",
    "Running stage 'unfreeze'",
    "epoch 1/3",
    "epoch 2/3",
    "epoch 1/2",
    "Running stage 'evaluate'",
)


@dataclass
class Interrupted:
    """A pipeline that was interrupted four times and continued to its end, and what was seen."""

    project: Project
    undisturbed: Project  # the same, run without an interruption
    orphans: list[psutil.Process]  # trainers that outlived a killed DVC
    ctrl_c_code: int
    ctrl_c_output: str
    ctrl_c_status: str  # of the MLflow run, after ctrl-C
    refusal: str  # output of a second trainer beside a running one
    killed_trainer_code: int  # of `dvc repro`, when its trainer was killed
    continued: int  # how often a training continued from a checkpoint


def _digits_project(folder_factory: pytest.TempPathFactory, name: str) -> Project:
    project = Project(folder_factory.mktemp(name))
    project.small()
    return _with_checkpoints(project)


def _tiny_project(folder: Path) -> Project:
    """Return a project of 36 images that trains for many short epochs."""
    project = Project(folder)
    tiny.set_up(project)
    for stage, epochs in (("warmup_head", 150), ("unfreeze", 150), ("fold_bn", 10)):
        project.set(**{f"{stage}__epochs": epochs, f"{stage}__patience": 1000})
    return _with_checkpoints(project)


def _with_checkpoints(project: Project) -> Project:
    project.set(resources__checkpoint_minutes=1e-6)  # without a limit, short epochs save nothing
    return project


def _read_until(process: subprocess.Popen[str], line: str) -> str:
    """Return the output up to ``line``."""
    assert process.stdout is not None
    seen = ""
    for read in process.stdout:
        seen += read
        if line in read:
            return seen
    raise AssertionError(f"{line!r} was not printed:\n{seen}")


def _trainers(project: Project) -> list[psutil.Process]:
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


def _orphans(project: Project) -> list[psutil.Process]:
    """Return the stages that still run after some time."""
    _, alive = psutil.wait_procs(_trainers(project), timeout=30)
    return alive


def _kill_dvc(project: Project, line: str) -> str:
    """Start `dvc repro`, kill DVC alone with SIGKILL after ``line``; return the output."""
    process = project.start("dvc", "repro")
    seen = _read_until(process, line)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return seen


def _run(project: Project) -> tuple[MlflowClient, Run]:
    """Return the only MLflow run of the project."""
    client = MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    project = _tiny_project(tmp_path_factory.mktemp("interrupted"))
    outputs = [_kill_dvc(project, "epoch 2/150")]
    orphans = _orphans(project)

    process = project.start("dvc", "repro")
    outputs.append(_read_until(process, "epoch 1/150"))
    os.killpg(process.pid, signal.SIGINT)  # as ctrl-C in a terminal
    ctrl_c_output, _ = process.communicate(timeout=60)
    ctrl_c_code = process.returncode
    orphans += _orphans(project)
    status = _run(project)[1].info.status

    process = project.start("dvc", "repro")
    outputs.append(_read_until(process, "val loss"))
    trainers = _trainers(project)
    for trainer in trainers:
        trainer.suspend()  # so that it cannot end before the second one has started
    refusal = project.run("thaw", "stage", "unfreeze", code=2)
    for trainer in trainers:
        trainer.kill()
    outputs.append(process.communicate()[0])

    outputs.append(_kill_dvc(project, "Running stage 'evaluate'"))
    orphans += _orphans(project)
    outputs.append(project.run("dvc", "repro"))
    undisturbed = _tiny_project(tmp_path_factory.mktemp("undisturbed"))
    Forks(undisturbed, processes=1).stages(*STAGES)
    return Interrupted(
        project=project,
        undisturbed=undisturbed,
        orphans=orphans,
        ctrl_c_code=ctrl_c_code,
        ctrl_c_output=ctrl_c_output,
        ctrl_c_status=status,
        refusal=refusal,
        killed_trainer_code=process.returncode,
        continued=sum("continuing after epoch" in output for output in outputs),
    )


def test_an_interrupted_pipeline_ends_with_the_same_bits(
    interrupted: Interrupted,
) -> None:
    assert interrupted.continued >= 2
    assert len(interrupted.project.digests()) >= 15
    assert interrupted.project.digests() == interrupted.undisturbed.digests()


def test_no_trainer_outlives_a_killed_dvc(interrupted: Interrupted) -> None:
    assert interrupted.orphans == []


def test_ctrl_c_ends_the_pipeline_and_says_how_to_continue(interrupted: Interrupted) -> None:
    assert interrupted.ctrl_c_code != 0
    assert "Traceback" not in interrupted.ctrl_c_output
    assert "continues from the last checkpoint" in interrupted.ctrl_c_output
    assert interrupted.ctrl_c_status == "KILLED"


def test_a_second_trainer_refuses_and_names_the_first(interrupted: Interrupted) -> None:
    assert "the stage unfreeze is already running as process" in interrupted.refusal


def test_a_killed_trainer_is_a_failed_stage(interrupted: Interrupted) -> None:
    assert interrupted.killed_trainer_code != 0


def test_an_interrupted_pipeline_is_one_run_without_repeated_metrics(
    interrupted: Interrupted,
) -> None:
    _assert_one_run_without_repeated_metrics(interrupted.project)


def _assert_one_run_without_repeated_metrics(project: Project) -> None:
    client, run = _run(project)
    assert run.info.status == "FINISHED"
    for key in run.data.metrics:
        if not key.startswith("system/"):
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps)), f"{key} was logged twice"


@pytest.mark.soak
def test_kills_at_all_points_leave_the_same_bits(
    short_pipeline: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = _digits_project(tmp_path_factory, "killed")
    outputs = []
    for line in KILL_POINTS:
        outputs.append(_kill_dvc(project, line))
        assert _orphans(project) == [], "a trainer outlived the killed DVC"
    outputs.append(project.run("dvc", "repro"))
    assert sum("continuing after epoch" in output for output in outputs) >= 3
    assert project.digests() == short_pipeline.digests()
    _assert_one_run_without_repeated_metrics(project)


@pytest.fixture
def of_two(tmp_path: Path) -> Project:
    """A tiny project whose stages run in two processes."""
    project = Project(tmp_path / "project")
    tiny.set_up(project)
    project.set(launch__processes=2)
    return project


def test_two_processes_run_all_stages(of_two: Project) -> None:
    forks = Forks(of_two, processes=2)
    forks.stage("prepare")  # always one process
    forks.stages(*STAGES[1:])
    assert "registered classifier version 1" in forks.output


@pytest.mark.soak
def test_two_processes_train_through_the_whole_pipeline(of_two: Project) -> None:
    output = of_two.run("dvc", "repro")
    assert "registered classifier version 1" in output
