from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import requests
import torch

from tests import tf32
from tests.registry.served import image, model_directory
from tests.serving.killed import kill_itself
from tests.serving.service import metric, running
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving import export_formats, runtimes
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.prediction_file import FIRST_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import ServingRuntime

# Their import takes a second, which only the process should need that runs these tests.
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in export_formats.PACKAGES["onnx"]),
    reason="needs the packages of the extra `export`",
)


@pytest.fixture
def exported(onnx_graph: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the graph of ``model`` that is made once: a process for the export imports torch."""
    monkeypatch.setattr(runtimes, "_export_in_process", lambda _: onnx_graph)


def read(predictor: Predictor, count: int) -> torch.Tensor:
    return torch.cat([predictor.read(image(seed)) for seed in range(count)])


@pytest.mark.pipelines
def test_the_graph_is_exported_in_a_process_of_its_own(model: Path) -> None:
    predictor = Predictor(model)
    runtimes.use_runtime("onnx", predictor, model)
    assert predictor.other_runtime is not None


@pytest.mark.slow
def test_onnx_runtime_computes_the_model_and_torch_the_images_of_the_drift_score(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "_export_in_process", runtimes._export)
    alone, predictor = Predictor(watched), Predictor(watched)
    runtimes.use_runtime("onnx", predictor, watched)
    asked: list[int] = []
    run = predictor.other_runtime
    assert run is not None

    def counted(images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return run(images)

    predictor.other_runtime = counted
    for predictions in (alone, predictor):
        assert predictions.drift is not None
        predictions.drift.spread(1024)  # every second image
    inputs = read(predictor, 40)
    expected = alone.forward(inputs, watch=True)
    torch.testing.assert_close(predictor.forward(inputs, watch=True), expected, rtol=0, atol=1e-5)
    assert asked == [20]  # torch computed the others, because the drift score needs hooks
    torch.testing.assert_close(predictor.forward(inputs), expected, rtol=0, atol=1e-5)
    assert asked == [20, 40]
    assert predictor.drift is not None
    assert alone.drift is not None
    assert predictor.drift.images == alone.drift.images == 20
    assert predictor.drift.score is None
    for predictions in (alone, predictor):
        predictions.forward(inputs, watch=True)
    assert predictor.drift.score == pytest.approx(alone.drift.score)


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_onnx_runtime_is_compared_with_the_model_in_float32(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf32.simulate(monkeypatch)
    monkeypatch.setattr("thaw.serving.parity.TOLERANCE", 1e-5)
    predictor = Predictor(model)
    runtimes.use_runtime("onnx", predictor, model)
    assert predictor.other_runtime is not None


def test_the_runtime_torch_changes_nothing(model: Path) -> None:
    predictor = Predictor(model)
    runtimes.use_runtime("torch", predictor, model)
    assert predictor.other_runtime is None


@pytest.mark.usefixtures("exported")
def test_a_service_on_onnx_runtime_answers_with_the_probabilities_of_the_model(model: Path) -> None:
    (expected,) = Predictor(model).probabilities([image(1)]).tolist()
    with running(str(model), runtime="onnx") as url:
        answer = requests.post(
            f"{url}/predict", image(1), headers={"Content-Type": "image/png"}, timeout=30
        )
        assert metric(url, "thaw_batch_images_count") == 1
    (found,) = answer.json()["predictions"]
    assert list(found["probabilities"].values()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("exported")
def test_both_runtimes_predict_a_folder_alike_and_the_file_names_the_runtime(
    model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(image(number))
    labels, probabilities = [], []
    kinds: tuple[ServingRuntime, ...] = ("torch", "onnx")
    for runtime in kinds:
        out = tmp_path / f"{runtime}.csv"
        predict_folder(str(model), folder, out, runtime=runtime)
        lines = [line.split(",") for line in out.read_text().splitlines()[1:]]
        labels.append([line[:2] for line in lines])
        probabilities.append(
            [[float(value) for value in line[len(FIRST_COLUMNS) :]] for line in lines]
        )
        assert json.loads(out.with_name(f"{out.name}.json").read_text())["runtime"] == runtime
    assert len(labels[0]) == 5
    assert labels[0] == labels[1]
    by_torch, by_onnx = map(torch.tensor, probabilities)
    torch.testing.assert_close(by_onnx, by_torch, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("exported")
def test_a_graph_of_another_model_is_not_used(tmp_path: Path) -> None:
    model_directory(tmp_path / "other", seed=1)
    predictor = Predictor(tmp_path / "other")
    with pytest.raises(
        ThawError, match=r"differs from the model: over 72 images .*--runtime torch"
    ):
        runtimes.use_runtime("onnx", predictor, tmp_path / "other")
    assert predictor.other_runtime is None


def test_the_message_about_a_missing_package_names_the_option(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(export_formats.PACKAGES, "onnx", ("onnx_that_is_not_there",))
    message = r"--runtime onnx needs onnx_that_is_not_there: pip install .*\[export\]"
    with pytest.raises(ThawError, match=message):
        runtimes.use_runtime("onnx", Predictor(model), model)


def test_a_killed_export_is_an_error_with_a_reason(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "_export", kill_itself)
    with pytest.raises(ThawError, match="exports the model for ONNX Runtime was killed"):
        runtimes.use_runtime("onnx", Predictor(model), model)
