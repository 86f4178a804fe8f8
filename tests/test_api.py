from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest

import thaw
from tests import settings
from tests.project import ROOT
from tests.registry.served import CLASSES, image, model_directory
from thaw import api
from thaw.registry.register import ModelRecord, register
from thaw.system.commands import Finished
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> thaw.Project:
    """A project without results, which is not the working directory."""
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return thaw.Project(folder)


def test_import_thaw_loads_nothing_else() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'mlflow', 'pydantic', 'thaw.api', 'PIL'}"
    code = f"import sys, thaw; print(thaw.__version__, {heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{thaw.__version__} set()"


def test_the_public_names_are_those_of_the_type_stub() -> None:
    stub = (Path(thaw.__file__).parent / "__init__.pyi").read_text()
    for name in ("load_model", "Project", "ThawError"):
        assert getattr(thaw, name).__name__ == name
        assert name in dir(thaw)
        assert f"import {name} as {name}" in stub
    with pytest.raises(AttributeError, match="'thaw' has no attribute 'nothing'"):
        _ = thaw.nothing  # type: ignore[attr-defined]


def test_load_model_reads_a_model_directory(tmp_path: Path) -> None:
    model_directory(tmp_path / "model")
    model = thaw.load_model(tmp_path / "model")
    assert model.classes == CLASSES
    assert model.predict([image()]).shape == (1, 2 + len(CLASSES))
    with pytest.raises(thaw.ThawError, match="nothing is not a model"):
        thaw.load_model("nothing")


def test_a_folder_without_params_is_refused(tmp_path: Path) -> None:
    with pytest.raises(thaw.ThawError, match=r"is not a project of thaw .* `thaw init DIR`"):
        thaw.Project(tmp_path)


def test_parameters_of_another_folder_are_read_and_changed(project: thaw.Project) -> None:
    epochs = project.params.unfreeze.epochs
    assert project.set({"unfreeze.epochs": epochs + 1}) == ["unfreeze.epochs"]
    assert project.params.unfreeze.epochs == epochs + 1
    before = (project.folder / "params.yaml").read_bytes()
    with pytest.raises(thaw.ThawError, match=r"unfreeze\.epochs"):
        project.set({"unfreeze.epochs": "many"})
    assert (project.folder / "params.yaml").read_bytes() == before


def test_images_of_a_split_that_does_not_exist_are_refused(project: thaw.Project) -> None:
    with pytest.raises(thaw.ThawError, match=r"^tst is no split: choose train, val, test$"):
        project.images("tst")  # type: ignore[arg-type]


class Commands:
    """A replacement of ``run_module`` that records the calls and gives prepared results."""

    def __init__(self, *results: Finished | thaw.ThawError) -> None:
        self.results = list(results)
        self.calls: list[tuple[str, list[str], Path]] = []

    def __call__(
        self, module: str, arguments: Sequence[str], folder: Path, **_: object
    ) -> Finished:
        self.calls.append((module, list(arguments), folder))
        result = self.results.pop(0)
        if isinstance(result, thaw.ThawError):
            raise result
        return result


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, ["repro"]),
        ({"stage": "prepare"}, ["repro", "prepare"]),
        ({"force": True}, ["repro", "--force"]),
        ({"stage": "evaluate", "force": True}, ["repro", "--force", "--single-item", "evaluate"]),
    ],
)
def test_run_calls_dvc_in_the_folder_of_the_project(
    options: dict[str, Any],
    arguments: list[str],
    project: thaw.Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands = Commands(Finished(0, ""))
    monkeypatch.setattr(api, "run_module", commands)
    assert project.run(**options) is None
    assert commands.calls == [("dvc", arguments, project.folder)]


@pytest.mark.slow
def test_create_writes_a_project_for_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, label in enumerate(("daisy", "rose")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(5):
            content = image(10 * seed + number, size=64)
            (tmp_path / "photos" / label / f"{number}.png").write_bytes(content)
    project = thaw.Project.create("flowers", "photos")
    assert project.folder == tmp_path / "flowers"
    assert Path(project.params.data.path).name == "photos"
    assert project.last_result is None
    assert "dvc repro" in capsys.readouterr().out
    with pytest.raises(thaw.ThawError, match="flowers is a project already"):
        thaw.Project.create("flowers", "photos")


def test_promote_tells_whether_the_alias_was_moved(
    project: thaw.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands(
        Finished(0, "passed"), Finished(1, "refused"), thaw.ThawError("no such version")
    )
    monkeypatch.setattr(api, "run_module", commands)
    assert project.promote(3, reason="better") == api.Promotion(promoted=True, report="passed")
    assert not project.promote(force=True, reason="r", alias="beta").promoted
    with pytest.raises(thaw.ThawError, match=r"^no such version$"):
        project.promote()
    assert [arguments for _, arguments, _ in commands.calls[:2]] == [
        ["promote", "3", "--to", "champion", "--reason", "better"],
        ["promote", "--to", "beta", "--reason", "r", "--force"],
    ]


@pytest.mark.slow
def test_status_and_models_come_from_the_store_of_the_project(
    project: thaw.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = project.params.tracking.registered_model
    uri = f"sqlite:///{project.folder / 'mlruns/mlflow.db'}"
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    _, experiment = connect(tracking)
    spec = model_directory(tmp_path / "model")
    with mlflow.start_run(experiment_id=experiment):
        register(name, tmp_path / "model", ModelRecord(spec.digest, {"accuracy": 0.5}), image())
    mlflow.set_tracking_uri("http://127.0.0.1:1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # MLflow has set it
    status = project.status()
    assert status.loc["champion", "version"] == 1
    assert status.loc["champion", "accuracy"] == 0.5
    assert project.load_model().digest == spec.digest
    assert project.load_model(1).name == f"models:/{name}/1"
    assert project.load_model("1").name == f"models:/{name}/1"
    with pytest.raises(thaw.ThawError, match="unknown"):
        project.load_model("unknown")
    assert mlflow.get_tracking_uri() == "http://127.0.0.1:1"
    assert "MLFLOW_TRACKING_URI" not in os.environ
    client = mlflow.MlflowClient(uri)
    for alias in status.index:
        client.delete_registered_model_alias(name, alias)
    assert project.status().empty
