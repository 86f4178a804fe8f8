"""A result has one run and one version, also after kills and repeated stages."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient

from tests import kill_in_registry, tiny
from tests.forks import Forks, in_child
from tests.project import Project, environment
from thaw.stages import evaluate
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.pipelines

KILLED_AT = (
    "before finalize_logged_model",  # leaves a model that is PENDING
    "after finalize_logged_model",
    "after create_model_version",
    "after create_experiment",  # the row of the first champion
    "after set_terminated",  # FINISHED; registered.json and dvc.lock are not written
)
EVALUATE = ("dvc", "repro", "--single-item", "evaluate")


@dataclass(frozen=True)
class Stored:
    """The versions of a model, and the run of one of them, as they are in the store.

    ``runs`` are those with the key of this run, ``models`` the states of the models that it logged,
    ``repeated`` the metrics that have a step twice, ``running`` all runs that have not ended.
    """

    versions: list[int]
    run_id: str
    status: str
    runs: list[str]
    models: list[str]
    repeated: list[str]
    datasets: int
    running: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with all stages but the last one done."""
    project = Project(tmp_path_factory.mktemp("trained") / "project")
    tiny.set_up(project)
    Forks(project, processes=1).stages(*STAGES[:-1])
    return project


def client(project: Project) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")


def read(project: Project, name: str, version: int) -> Stored:
    """Read the store; in a child, because MLflow keeps the connections of a process for ever."""
    store = client(project)
    run_id = store.get_model_version(name, str(version)).run_id
    assert run_id is not None
    run = store.get_run(run_id)
    ids = [run.info.experiment_id]
    same = store.search_runs(ids, f"tags.`thaw.key` = '{run.data.tags['thaw.key']}'")
    models = [model for model in store.search_logged_models(ids) if model.source_run_id == run_id]
    steps = {
        key: [metric.step for metric in store.get_metric_history(run_id, key)]
        for key in run.data.metrics
    }
    everywhere = [one.experiment_id for one in store.search_experiments()]
    running = store.search_runs(everywhere, "attributes.status = 'RUNNING'")
    found = store.search_model_versions(f"name = '{name}'")
    return Stored(
        versions=sorted(int(one.version) for one in found),
        run_id=run_id,
        status=run.info.status,
        runs=[one.info.run_id for one in same],
        models=[str(model.status) for model in models],
        repeated=[key for key, found in steps.items() if len(found) != len(set(found))],
        datasets=len(run.inputs.dataset_inputs) if run.inputs else 0,
        running=[one.info.run_id for one in running],
    )


def the_run(project: Project, name: str, version: int) -> str:
    """Return the run of the only version, after checking that it is complete and the only one."""
    found: Stored | None = in_child(read, project, name, version)
    assert found is not None, "the store could not be read"
    run_id = found.run_id
    assert found == Stored([version], run_id, "FINISHED", [run_id], ["READY"], [], 1, [])
    return run_id


def set_key(project: Project, name: str, bins: int) -> None:
    """Change parameters so that evaluate makes another result and another registered model."""
    project.set(tracking__registered_model=name, evaluate__calibration_bins=bins)


@pytest.mark.parametrize(
    "place",
    [KILLED_AT[0], *(pytest.param(place, marks=pytest.mark.soak) for place in KILLED_AT[1:])],
)
def test_a_result_whose_registration_was_killed_is_registered_once(
    place: str, trained: Project
) -> None:
    name = place.replace(" ", "-")
    set_key(trained, name, 20 + KILLED_AT.index(place))
    forks = Forks(trained, processes=1)

    def die_in_evaluate() -> None:
        kill_in_registry.install(place)
        evaluate.main()

    with pytest.raises(AssertionError, match=r"evaluate None: \[-9\]"):  # the exit code
        forks.run([die_in_evaluate], "evaluate", None)
    forks.stage("evaluate")
    assert f"registered {name} version 1 as @champion" in forks.output
    the_run(trained, name, 1)


def test_dvc_that_was_killed_after_the_registration_registers_nothing_again(
    trained: Project, tmp_path: Path
) -> None:
    name = "killed-with-dvc"
    set_key(trained, name, 30)
    shutil.copy(kill_in_registry.__file__, tmp_path / "sitecustomize.py")
    python_path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    variables = {"PYTHONPATH": python_path, kill_in_registry.VARIABLE: KILLED_AT[-1]}
    done = subprocess.run(
        EVALUATE,
        cwd=trained.folder,
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )
    assert done.returncode == -9, f"{done.returncode}\n{done.stdout}{done.stderr}"
    assert f"registered {name} version 1 as @champion" in trained.run(*EVALUATE)
    the_run(trained, name, 1)


def test_a_repeated_stage_finds_the_run_of_the_same_result(trained: Project) -> None:
    name = "repeated"
    set_key(trained, name, 40)
    forks = Forks(trained, processes=1)
    forks.stage("evaluate")
    run_id = the_run(trained, name, 1)
    for stage in STAGES:
        forks.stage(stage)
    assert the_run(trained, name, 1) == run_id
    in_child(lambda: client(trained).delete_model_version(name, "1"))
    forks.stage("evaluate")
    assert f"registered {name} version 2 as @challenger" in forks.output
    assert the_run(trained, name, 2) == run_id
