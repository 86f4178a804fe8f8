from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.compute_device import Computing, choose_computing

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import PrecisionName, ServingRuntime

CPU = torch.device("cpu")


def test_a_model_computes_on_the_cpu_in_float32_by_default() -> None:
    computing = choose_computing("cpu", "fp32", "torch")
    assert computing == Computing()
    assert (computing.device, computing.precision.name, computing.is_gpu) == (CPU, "fp32", False)


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = choose_computing("auto", "fp32", "torch")
    assert (found.device, found.is_gpu) == (torch.device("cuda:0"), True)
    assert not torch.backends.cudnn.allow_tf32
    assert choose_computing("auto", "fp32", "onnx").device == CPU


@pytest.mark.parametrize(
    ("device", "precision", "runtime", "message"),
    [
        ("cuda", "fp32", "torch", "--device cuda: "),
        ("tpu", "fp32", "torch", "--device tpu: choose auto, cpu"),
        ("cpu", "tf32", "torch", "--precision tf32 needs a GPU"),
        ("cpu", "fp16", "torch", "--precision fp16 needs a GPU"),
        ("cuda", "fp32", "onnx", "--device cuda: --runtime onnx computes on the CPU"),
        ("auto", "bf16", "onnx", "--precision bf16: --runtime onnx computes in fp32"),
    ],
)
def test_a_device_or_precision_that_is_not_there_is_refused_by_the_name_of_its_option(
    device: str, precision: PrecisionName, runtime: ServingRuntime, message: str
) -> None:
    with pytest.raises(ThawError) as raised:
        choose_computing(device, precision, runtime)
    assert str(raised.value).startswith(message)


def test_a_model_computes_in_the_chosen_precision(model: Path) -> None:
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    exact = Predictor(model).forward(images)
    rounded = choose_computing("cpu", "bf16", "torch").predictor(model).forward(images)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=0.05)
    assert torch.equal(Computing().predictor(model).forward(images), exact)
