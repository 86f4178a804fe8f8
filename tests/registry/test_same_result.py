"""Two machines that register the same result of one run leave one version."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.registry.served import image, model_directory
from thaw.registry import register as registering
from thaw.registry.names import DIGEST, GATE
from thaw.registry.register import ModelRecord, Registered, register
from thaw.registry.same_result import remove_repetitions, versions_of_result

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities.model_registry import ModelVersion


@pytest.fixture
def client(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return MlflowClient()


@pytest.mark.slow
def test_a_version_that_another_machine_created_meanwhile_is_the_one_that_stays(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ModelRecord(model_directory(tmp_path / "model").digest, {"accuracy": 0.5})
    run = client.create_run(client.create_experiment("e"))

    def before_it_exists(*_: object) -> list[ModelVersion]:
        monkeypatch.setattr(registering, "versions_of_result", versions_of_result)
        return []

    with mlflow.start_run(run.info.run_id):
        register("model", tmp_path / "model", record, image())
        monkeypatch.setattr(registering, "_logged", lambda *_: None)
        monkeypatch.setattr(registering, "versions_of_result", before_it_exists)
        found = register("model", tmp_path / "model", record, image())
    assert found == Registered("model", 1, "champion", verdict="")
    assert [int(mv.version) for mv in client.search_model_versions("name = 'model'")] == [1]
    assert len(client.search_logged_models([run.info.experiment_id])) == 1


@pytest.mark.parametrize("used", ["alias", "gate"])
def test_a_version_that_was_used_is_not_removed(client: MlflowClient, used: str) -> None:
    run = client.create_run(client.create_experiment("e")).info.run_id
    client.create_registered_model("model")
    for _ in range(3):
        client.create_model_version("model", "/artifacts", run, tags={DIGEST: "d"})
    if used == "alias":
        client.set_registered_model_alias("model", "release", "2")
    else:
        client.set_model_version_tag("model", "2", GATE, "passed")
    remove_repetitions(client, versions_of_result(client, "model", run, "d"), "m-1")
    left = client.search_model_versions("name = 'model'")
    assert sorted(int(mv.version) for mv in left) == [1, 2]


def test_versions_of_other_runs_and_other_models_are_no_repetitions(client: MlflowClient) -> None:
    experiment = client.create_experiment("e")
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    client.create_registered_model("model")
    for run, digest in ((runs[0], "d"), (runs[1], "d"), (runs[0], "other")):
        client.create_model_version("model", "/artifacts", run, tags={DIGEST: digest})
    (found,) = versions_of_result(client, "model", runs[0], "d")
    assert int(found.version) == 1


@pytest.mark.slow
def test_two_machines_that_register_at_once_leave_one_version(server: str, tmp_path: Path) -> None:
    digest = model_directory(tmp_path / "model").digest
    client = MlflowClient(server)
    run = client.create_run(client.create_experiment("raced"))
    context = multiprocessing.get_context("fork")  # a new process would import torch for seconds
    together, found = context.Barrier(2), context.SimpleQueue()

    def machine() -> None:
        mlflow.set_tracking_uri(server)
        with mlflow.start_run(run.info.run_id):
            together.wait(60)
            record = ModelRecord(digest, {"accuracy": 0.5})
            found.put(register("raced", tmp_path / "model", record, image()))

    machines = [context.Process(target=machine) for _ in range(2)]
    for each in machines:
        each.start()
    for each in machines:
        each.join(120)
    assert [each.exitcode for each in machines] == [0, 0]
    (version,) = client.search_model_versions("name = 'raced'")
    assert [found.get() for _ in machines] == [
        Registered("raced", int(version.version), "champion")
    ] * 2
    assert client.get_registered_model("raced").aliases == {"champion": version.version}
    models = client.search_logged_models([run.info.experiment_id])
    assert [model.model_id for model in models] == [str(version.source).removeprefix("models:/")]
