"""`dvc repro` is interrupted in several ways, and continued. Nothing of the result may change.

The output folders have files of the user from the start. No stage and no checkout may touch them.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from tests import interruptions, tiny
from tests.cli.verbs import run
from tests.forks import Forks
from tests.project import Project
from tests.user_files import assert_kept, plant
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

pytestmark = pytest.mark.pipelines


@dataclass
class Interrupted:
    """A pipeline that was interrupted three times and continued to its end, and what was seen."""

    project: Project
    undisturbed: Project  # the same, run without an interruption
    user_files: dict[Path, str]  # contents of the files that lie in the output folders
    orphans: list[psutil.Process]  # trainers that outlived a killed DVC
    ctrl_c_code: int
    ctrl_c_output: str
    ctrl_c_status: str  # of the MLflow run, after ctrl-C
    refusal: str  # output of a second trainer beside a running one
    killed_trainer_code: int  # of `dvc repro`, when its trainer was killed
    continued: int  # how often a training continued from a checkpoint


def _tiny_project(folder: Path) -> tuple[Project, dict[Path, str]]:
    """Return a project of 36 images that trains for many short epochs, and the user's files."""
    project = Project(folder)
    tiny.set_up(project)
    for stage, epochs in (("warmup_head", 60), ("unfreeze", 60), ("fold_bn", 5)):
        project.set(**{f"{stage}__epochs": epochs, f"{stage}__patience": 1000})
    interruptions.save_after_every_epoch(project)
    return project, plant(folder)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    project, user_files = _tiny_project(tmp_path_factory.mktemp("interrupted"))
    outputs = [interruptions.kill_dvc(project, "epoch 2/60")]
    orphans = interruptions.orphans(project)

    process = project.start("dvc", "repro")
    outputs.append(interruptions.read_until(process, "epoch 1/60"))
    os.killpg(process.pid, signal.SIGINT)  # as ctrl-C in a terminal
    ctrl_c_output, _ = process.communicate(timeout=300)
    ctrl_c_code = process.returncode
    orphans += interruptions.orphans(project)
    status = interruptions.only_run(project)[1].info.status

    process = project.start("dvc", "repro")
    outputs.append(interruptions.read_until(process, "val loss"))
    trainers = interruptions.trainers(project)
    for trainer in trainers:
        trainer.suspend()  # so that it cannot end before the second one has started
    refusal = project.run("thaw", "stage", "unfreeze", code=2)
    for trainer in trainers:
        trainer.kill()
    outputs.append(process.communicate()[0])

    outputs.append(project.run("dvc", "repro"))
    undisturbed, _ = _tiny_project(tmp_path_factory.mktemp("undisturbed"))
    Forks(undisturbed, processes=1).stages(*STAGES)
    return Interrupted(
        project=project,
        undisturbed=undisturbed,
        user_files=user_files,
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
    interruptions.assert_one_run_without_repeated_metrics(interrupted.project)


def test_no_stage_removes_a_file_of_the_user(interrupted: Interrupted) -> None:
    assert_kept(interrupted.user_files)
    registered = list(interrupted.project.folder.glob("mlruns/artifacts/**/merged/*"))
    assert sorted(path.name for path in registered) == ["model.json", "model.safetensors"]


# The tests below change the project, so that they come last.


def test_the_run_cache_and_a_checkout_leave_files_of_the_user(
    interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    continued = interrupted.project
    monkeypatch.chdir(continued.folder)
    run("check")
    before = continued.digests()
    assert json.loads(continued.run("dvc", "status", "--json")) == {}  # they are no reason to run
    continued.set(seed=1)
    continued.run("dvc", "repro", "prepare")
    continued.set(seed=0)
    (continued.folder / "models/unfreeze/model.json").unlink()
    output = continued.run("dvc", "repro")
    assert "exec thaw stage" not in output  # all come from the run cache
    assert_kept(interrupted.user_files)
    assert continued.digests() == before
    continued.run("dvc", "checkout", "--force")
    assert_kept(interrupted.user_files)


def test_only_later_stages_run_after_a_change_of_unfreeze(interrupted: Interrupted) -> None:
    continued = interrupted.project
    continued.set(unfreeze__lr=0.0005, unfreeze__epochs=2, fold_bn__epochs=1)
    changed = json.loads(continued.run("dvc", "status", "--json"))
    assert set(changed) == {"unfreeze", "fold_bn"}  # DVC runs evaluate when their models change
    forks = Forks(continued, processes=1)
    for stage in ("unfreeze", "fold_bn", "evaluate"):
        forks.stage(stage)
    client = MlflowClient(f"sqlite:///{continued.folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    first, second = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    assert second.data.params["unfreeze.lr"] == "0.0005"
    # The curve of the skipped stage is copied, with a tag that names the run which computed it.
    assert second.data.tags["warmup_head.copied_from"] == first.info.run_id
    assert second.data.metrics["warmup_head/val_loss"] == first.data.metrics["warmup_head/val_loss"]
    for alias, made in (("champion", first), ("challenger", second)):
        assert client.get_model_version_by_alias("classifier", alias).run_id == made.info.run_id
