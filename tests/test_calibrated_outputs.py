"""Every way to a probability applies the calibration of the model, and averages mirror images."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch

from tests import calibrated
from tests.registry.served import image, model_directory, text
from thaw.model import directory
from thaw.model.predictor import Predictor
from thaw.registry.pyfunc import ServedClassifier
from thaw.serving import export_formats, runtimes
from thaw.serving.loaded_model import LoadedModel
from thaw.serving.runtimes import use_runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from thaw.literals import ExportFormat

IMAGES = [image(seed) for seed in range(5)]


@pytest.fixture(params=sorted(calibrated.BOTH))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that makes the model of each kind once."""

    @cache
    def make(kind: str) -> Path:
        tmp_path = tmp_path_factory.mktemp(kind)
        model_directory(tmp_path / "plain")
        found = calibrated.save_calibrated(
            tmp_path / "plain", tmp_path / "made", calibrated.BOTH[kind], mirrored=kind == "vector"
        )
        assert directory.load(tmp_path / "made")[0].mirrored == found.mirrored == (kind == "vector")
        return tmp_path / "made"

    return make


@pytest.fixture
def folder(kind: str, made: Callable[[str], Path]) -> Path:
    """A model directory with a calibration of ``kind``; with vector scaling it is mirrored, too."""
    return made(kind)


@cache
def exported(folder: Path, runtime: ExportFormat) -> bytes:
    """Return the file of the model, which is made once: an export takes seconds."""
    return export_formats.export(Predictor(folder), runtime, {}, any_size=False)


def expected(folder: Path, kind: str) -> Tensor:
    classifier, spec = directory.load(folder)
    inputs = torch.cat([Predictor(folder).read(content) for content in IMAGES])
    with torch.inference_mode():
        normalised = spec.preprocessing.normalize(inputs.float() / 255)
        part = classifier.part(0)
        logits = part(normalised)
        if spec.mirrored:
            logits = (logits + part(normalised.flip(-1))) / 2
    found = calibrated.mapped(logits, calibrated.BOTH[kind]).float()
    assert (found - logits.softmax(1)).abs().max() > 0.02  # the calibration changes something
    return found


def test_the_predictor_applies_the_calibration(folder: Path, kind: str) -> None:
    found = Predictor(folder).probabilities(IMAGES)
    torch.testing.assert_close(found, expected(folder, kind), rtol=0, atol=1e-5)


def test_the_python_api_and_mlflow_apply_the_calibration(folder: Path, kind: str) -> None:
    wanted = expected(folder, kind)
    loaded = LoadedModel("model", Predictor(folder))
    np.testing.assert_allclose(loaded.predict_proba(IMAGES), wanted, atol=1e-5)
    frame = pd.DataFrame({"image": [text(content) for content in IMAGES]})
    rows = [list(row["probabilities"].values()) for row in ServedClassifier(folder).predict(frame)]
    np.testing.assert_allclose(rows, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        pytest.param("temperature", "onnx", marks=pytest.mark.soak),
        ("temperature", "torch-export"),
        ("vector", "onnx"),
        ("vector", "torch-export"),
    ],
    indirect=["kind"],
)
def test_an_exported_file_has_the_calibration_in_its_graph(
    folder: Path, kind: str, runtime: ExportFormat
) -> None:
    for package in export_formats.PACKAGES[runtime]:
        pytest.importorskip(package)
    predictor = Predictor(folder)
    compute = export_formats.load_exported(runtime, exported(folder, runtime), 1)
    found = compute(torch.cat([predictor.read(content) for content in IMAGES]))
    torch.testing.assert_close(found, expected(folder, kind), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param("temperature", marks=pytest.mark.soak), "vector"], indirect=True
)
def test_onnx_runtime_serves_calibrated_probabilities(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in export_formats.PACKAGES["onnx"]:
        pytest.importorskip(package)
    monkeypatch.setattr(runtimes, "_export_in_process", lambda made: exported(made, "onnx"))
    predictor = Predictor(folder)
    use_runtime("onnx", predictor, folder)
    assert predictor.other_runtime is not None
    torch.testing.assert_close(
        predictor.probabilities(IMAGES), expected(folder, kind), rtol=0, atol=1e-5
    )
