from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from tests.data.peak import rise
from tests.registry.served import model_directory
from thaw.model import directory
from thaw.model.inference_memory import bytes_per_image
from thaw.model.predictor import Predictor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("model")
    model_directory(folder)
    return Predictor(folder)


@pytest.mark.slow
def test_the_estimate_is_near_the_rise_of_the_resident_memory(predictor: Predictor) -> None:
    images = torch.zeros(4, 3, 1024, 1024, dtype=torch.uint8)
    predictor.forward(images[:1, :, :64, :64])
    found = rise(lambda: predictor.forward(images)) * 1e6
    assert 0.5 * found < 4 * bytes_per_image(predictor.classifier, 1024) < 3 * found


def test_the_estimate_takes_no_memory_and_changes_nothing(predictor: Predictor) -> None:
    before = copy.deepcopy(predictor.classifier.state_dict())
    assert rise(lambda: bytes_per_image(predictor.classifier, 8192)) < 100
    for name, tensor in predictor.classifier.state_dict().items():
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, before[name])


def test_a_network_that_needs_values_has_no_estimate(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_directory(tmp_path)
    classifier, _ = directory.load(tmp_path)

    class NeedsValues(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x.max().item()

    monkeypatch.setattr(classifier, "pool", nn.Sequential(classifier.pool, NeedsValues()))
    assert bytes_per_image(predictor.classifier, 32) > 0
    assert bytes_per_image(classifier, 32) == 0
