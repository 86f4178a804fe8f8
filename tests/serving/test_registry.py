"""The verbs on what is in the registry; and that MLflow's own loader is never asked."""

from __future__ import annotations

import csv
import time
from typing import TYPE_CHECKING

import mlflow
import pytest
import requests

from tests import settings
from tests.registry.served import image, model_directory
from tests.serving.service import metric, running
from thaw.errors import ThawError
from thaw.registry.register import register
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.model_uri import local_model, registry_settings
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.tracking import MlflowClient

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """A registry's address, and the digests of versions 1 and 2 of the model `dev` in it."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlruns/mlflow.db'}"
    _, experiment = connect(settings.PARAMS.tracking.model_copy(update={"uri": uri}))
    found = []
    for seed in (0, 1):
        spec = model_directory(folder / str(seed), seed)
        with mlflow.start_run(experiment_id=experiment):
            register("dev", folder / str(seed), spec.digest, image(), {"accuracy": 0.5})
        found.append(spec.digest)
    return uri, found


@pytest.fixture
def digests(
    store: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Those of versions 1, which is the champion, and 2; seen from outside of a project."""
    uri, found = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(mlflow.pyfunc, "load_model", _never)
    monkeypatch.chdir(tmp_path)
    client().set_registered_model_alias("dev", "champion", "1")
    return found


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a loader that the artifact names was asked for")


def client() -> MlflowClient:
    return connect(registry_settings())[0]


def test_a_registered_model_predicts_a_folder(digests: list[str], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(image())
    out = tmp_path / "out.csv"
    predict_folder("models:/dev@champion", tmp_path / "images", out)
    assert len(list(csv.DictReader(out.open()))) == 1
    with pytest.raises(ThawError, match=f"another digest.*{digests[0]}, not {digests[1]}"):
        predict_folder("models:/dev/2", tmp_path / "images", out)


def test_what_was_fetched_is_gone_afterwards(digests: list[str]) -> None:
    with local_model("models:/dev@champion") as found:
        assert found.name == "models:/dev/1"
        assert found.folder.is_dir()
    assert not found.folder.exists()


def test_the_service_follows_the_alias_and_survives_a_registry_that_is_gone(
    digests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("models:/dev@champion") as url:
        first = requests.post(f"{url}/predict", data=image(), headers=PNG, timeout=30).json()
        assert (first["model"], first["digest"]) == ("models:/dev/1", digests[0])
        client().set_registered_model_alias("dev", "champion", "2")
        end = time.monotonic() + 20
        while metric(url, "thaw_reloads_total") == 0 and time.monotonic() < end:
            time.sleep(0.05)
        second = requests.post(f"{url}/predict", data=image(), headers=PNG, timeout=30).json()
        assert (second["model"], second["digest"]) == ("models:/dev/2", digests[1])
        client().delete_registered_model_alias("dev", "champion")
        end = time.monotonic() + 20
        while metric(url, "thaw_reload_failures_total") == 0 and time.monotonic() < end:
            time.sleep(0.05)
        assert requests.get(f"{url}/healthz", timeout=10).json()["model"] == "models:/dev/2"


def test_without_a_registry_there_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(image())
    with pytest.raises(ThawError, match="or set MLFLOW_TRACKING_URI"):
        predict_folder("models:/dev@champion", tmp_path, tmp_path / "out.csv")
