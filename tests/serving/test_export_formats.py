from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import pytest
import torch

from tests.registry.served import image
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving import export_formats

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_file_for_resized_images_gives_the_probabilities_of_the_model_for_any_batch(
    model: Path, onnx_graph: bytes
) -> None:
    predictor = Predictor(model)
    compute = export_formats.load_exported("onnx", onnx_graph, 1)
    for count in (1, 2, 7):
        inputs = torch.cat([predictor.read(image(seed)) for seed in range(count)])
        torch.testing.assert_close(compute(inputs), predictor.forward(inputs), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_file_for_any_size_gives_the_probabilities_of_the_whole_graph(
    model: Path, torch_graph: bytes
) -> None:
    compute = export_formats.load_exported("torch-export", torch_graph, 1)
    graph = export_formats.WholeGraph(Predictor(model)).eval()
    for shape in ((1, 3, 40, 90), (3, 3, 33, 32), (2, 3, 300, 280), (1, 3, 1, 1)):
        images = torch.randint(0, 256, shape, dtype=torch.uint8)
        with torch.no_grad():
            torch.testing.assert_close(compute(images), graph(images), rtol=0, atol=1e-5)


def test_a_missing_package_is_named_with_the_option_that_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export_formats.check_packages("torch-export", "--format torch-export")
    monkeypatch.setitem(export_formats.PACKAGES, "onnx", ("json", "missing_package"))
    with pytest.raises(ThawError, match=r"^--format onnx needs missing_package: pip install"):
        export_formats.check_packages("onnx", "--format onnx")


def test_exporters_are_silent_and_logs_work_again_afterwards(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    disabled = logging.root.manager.disable
    with export_formats._quiet():
        print("step 1")
        warnings.warn("handled", stacklevel=1)
        assert not logging.getLogger("exporter").isEnabledFor(logging.WARNING)
    assert capsys.readouterr().out == ""
    # Objects of other tests may warn when they are collected just now.
    assert "handled" not in [str(warning.message) for warning in recwarn.list]
    assert logging.root.manager.disable == disabled
