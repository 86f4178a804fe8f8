"""A result has one run and one version, also after kills and repeated stages."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from tests import tiny
from tests.forks import Forks
from tests.project import Project, environment
from tests.stage_runs import run_stages
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import Run

pytestmark = pytest.mark.slow

# Python imports this module when it starts. In the stage evaluate it replaces a method of MLflow's
# client by one that kills the process and DVC with SIGKILL, so that nothing is cleaned up.
KILLER = """
import os, signal, sys

if sys.orig_argv[-1] == "thaw.stages.evaluate" and "KILL_AT" in os.environ:
    from mlflow.tracking import MlflowClient

    when, name = os.environ["KILL_AT"].split(" ")
    method = getattr(MlflowClient, name)

    def killed(*args, **kwargs):
        if when == "after":
            method(*args, **kwargs)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    setattr(MlflowClient, name, killed)
"""

KILLED_AT = (
    "before finalize_logged_model",  # leaves a model that is PENDING
    "after finalize_logged_model",
    "after create_model_version",
    "after create_experiment",  # the row of the first champion
    "after set_terminated",  # FINISHED; registered.json and dvc.lock are not written
)

EVALUATE = ("dvc", "repro", "--single-item", "evaluate")
SAMPLE = ("before finalize_logged_model", "after set_terminated")  # the others run in the soak


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with all stages but the last one done."""
    project = Project(tmp_path_factory.mktemp("trained") / "project")
    tiny.set_up(project)
    Forks(project, processes=1).stages(*STAGES[:-1])
    return project


def client(project: Project) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")


def kill(project: Project, folder: Path, place: str) -> None:
    """Run the stage evaluate by DVC, which is killed at ``place``."""
    (folder / "sitecustomize.py").write_text(KILLER)
    python_path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        EVALUATE,
        cwd=project.folder,
        env={**environment(), "PYTHONPATH": python_path, "KILL_AT": place},
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )
    assert done.returncode == -9, f"{place}: {done.returncode}\n{done.stdout}{done.stderr}"


def set_key(project: Project, name: str, bins: int) -> None:
    """Change parameters so that `dvc repro` makes another result and another registered model."""
    project.set(tracking__registered_model=name, evaluate__calibration_bins=bins)


def registered(project: Project, name: str) -> list[int]:
    found = client(project).search_model_versions(f"name = '{name}'")
    return sorted(int(version.version) for version in found)


def the_run(project: Project, name: str, version: int) -> Run:
    """Return the run of a version, after checking that it is complete and the only one."""
    store = client(project)
    run_id = store.get_model_version(name, str(version)).run_id
    assert run_id is not None
    run = store.get_run(run_id)
    ids = [run.info.experiment_id]
    same = store.search_runs(ids, f"tags.`thaw.key` = '{run.data.tags['thaw.key']}'")
    assert [one.info.run_id for one in same] == [run_id]
    assert run.info.status == "FINISHED"
    models = [model for model in store.search_logged_models(ids) if model.source_run_id == run_id]
    assert [str(model.status) for model in models] == ["READY"]
    for key in run.data.metrics:
        steps = [metric.step for metric in store.get_metric_history(run_id, key)]
        assert len(steps) == len(set(steps)), f"{key} was logged twice"
    assert run.inputs is not None
    assert len(run.inputs.dataset_inputs) == 1
    return run


def running(project: Project) -> list[str]:
    store = client(project)
    ids = [one.experiment_id for one in store.search_experiments()]
    return [run.info.run_id for run in store.search_runs(ids, "attributes.status = 'RUNNING'")]


@pytest.mark.parametrize(
    "place",
    [pytest.param(place, marks=() if place in SAMPLE else pytest.mark.soak) for place in KILLED_AT],
)
def test_a_result_whose_registration_was_killed_is_registered_once(
    place: str, trained: Project, tmp_path: Path
) -> None:
    name = place.replace(" ", "-")
    set_key(trained, name, 20 + KILLED_AT.index(place))
    kill(trained, tmp_path, place)
    output = trained.run(*EVALUATE)
    assert f"registered {name} version 1 as @champion" in output
    assert registered(trained, name) == [1]
    the_run(trained, name, 1)
    assert running(trained) == []


def test_a_repeated_stage_finds_the_run_of_the_same_result(
    trained: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "repeated"
    set_key(trained, name, 40)
    run_stages(trained.folder, "evaluate")
    run = the_run(trained, name, 1)
    for repeated in (["evaluate"], STAGES):
        run_stages(trained.folder, *repeated)
        assert the_run(trained, name, 1).info.run_id == run.info.run_id
    assert registered(trained, name) == [1]
    assert running(trained) == []
    client(trained).delete_model_version(name, "1")
    capfd.readouterr()
    run_stages(trained.folder, "evaluate")
    output = "".join(capfd.readouterr())
    assert f"registered {name} version 2 as @challenger" in output
    assert the_run(trained, name, 2).info.run_id == run.info.run_id
