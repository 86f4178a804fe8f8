from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.registry.served import image, model_directory
from thaw.errors import ThawError
from thaw.model.float32 import is_strict
from thaw.model.predictor import Predictor
from thaw.training import strict_predictor as module
from thaw.training.strict_predictor import strict_predictor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("strict") / "merged"
    model_directory(found)
    return found


def test_on_a_cpu_it_gives_the_bits_of_the_model_directory(folder: Path) -> None:
    images = [image(seed) for seed in range(3)]
    found = strict_predictor(folder, "cpu").probabilities(images)
    assert torch.equal(found, Predictor(folder).probabilities(images))


def test_on_a_gpu_each_forward_pass_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(module, "Predictor", lambda _, **options: made.update(options))
    strict_predictor(Path("any"), "cuda:1")
    assert made["device"] == torch.device("cuda:1")
    with made["autocast"]():
        assert is_strict()
    assert not is_strict()


def test_a_device_that_is_not_there_is_refused_by_the_name_of_the_setting(folder: Path) -> None:
    with pytest.raises(ThawError, match=r"^device gpu: choose auto"):
        strict_predictor(folder, "gpu")
    with pytest.raises(ThawError, match=r"^VARIABLE: gpu: choose auto"):
        strict_predictor(folder, "gpu", "VARIABLE:")


@pytest.mark.gpu
def test_a_gpu_gives_the_probabilities_of_the_cpu_and_keeps_the_programs_precision(
    folder: Path,
) -> None:
    images = [image(seed) for seed in range(3)]
    torch.backends.cudnn.allow_tf32 = True
    found = strict_predictor(folder, "cuda").probabilities(images)
    torch.testing.assert_close(found, Predictor(folder).probabilities(images), rtol=0, atol=1e-5)
    assert torch.backends.cudnn.allow_tf32
