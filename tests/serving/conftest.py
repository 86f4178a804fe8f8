from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
import pytest

from tests import settings
from tests.registry.served import image, model_directory, with_statistics
from tests.serving.service import running
from thaw.model.predictor import Predictor
from thaw.registry.register import ModelRecord, register
from thaw.serving import export_formats
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model that can be served."""
    folder = tmp_path_factory.mktemp("model")
    model_directory(folder)
    return folder


@pytest.fixture(scope="session")
def watched(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with the statistics of noise images, which a drift score needs."""
    folder = tmp_path_factory.mktemp("watched")
    with_statistics(model, folder)
    return folder


@pytest.fixture(scope="session")
def onnx_graph(model: Path) -> bytes:
    """The ONNX file of ``model`` for images that are resized already."""
    for package in export_formats.PACKAGES["onnx"]:
        pytest.importorskip(package)
    predictor = Predictor(model)
    about = {"digest": predictor.spec.digest}
    return export_formats.export(predictor, "onnx", about, any_size=False)


@pytest.fixture(scope="session")
def torch_graph(model: Path) -> bytes:
    """The torch.export file of ``model`` for images of any size."""
    return export_formats.export(Predictor(model), "torch-export", {"digest": "d"})


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    """The address of a service with low limits."""
    with running(str(model), max_megabytes=0.2, max_megapixels=0.5) as address:
        yield address


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The URI of a registry, and the digests of the versions 1 and 2 of its model `dev`."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlruns/mlflow.db'}"
    _, experiment = connect(settings.PARAMS.tracking.model_copy(update={"uri": uri}))
    digests = []
    for seed in (0, 1):
        spec = model_directory(folder / str(seed), seed)
        with mlflow.start_run(experiment_id=experiment):
            record = ModelRecord(spec.digest, {"accuracy": 0.5})
            register("dev", folder / str(seed), record, image())
        digests.append(spec.digest)
    return uri, digests


@pytest.fixture
def registry(
    store: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The digests of the versions 1 (champion) and 2 of `dev`; the working directory is empty.

    MLflow's own loader, which would run code that a model names, fails.
    """
    uri, digests = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(mlflow.pyfunc, "load_model", _fail)
    monkeypatch.chdir(tmp_path)
    mlflow.MlflowClient(uri).set_registered_model_alias("dev", "champion", "1")
    return digests


def _fail(*_: object, **__: object) -> None:
    raise AssertionError("MLflow's own loader was called")
