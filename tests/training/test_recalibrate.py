from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests import tiny
from tests.training import phase
from thaw.model.batchnorm import fold_all, has_statistics
from thaw.training.recalibrate import recalibrate

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.loader import ImageSource


@pytest.fixture
def source(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train")


def test_the_statistics_become_those_of_the_data(source: ImageSource) -> None:
    model = tiny.classifier()
    assert recalibrate(tiny.runtime(), model, source) == 3
    everything = source.read(torch.arange(len(source)).numpy())
    inputs = source.finish(everything, torch.arange(len(source)).numpy(), epoch=None)
    with torch.no_grad():
        first = model.blocks[0][0](inputs)  # type: ignore[index]
    norm = model.blocks[0][1]  # type: ignore[index]
    torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, first.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_no_parameter_changes_and_the_model_is_left_as_it_was(source: ImageSource) -> None:
    model = tiny.classifier()
    parameters = {name: value.clone() for name, value in model.named_parameters()}
    recalibrate(tiny.runtime(), model, source)
    for name, value in model.named_parameters():
        assert torch.equal(value, parameters[name])
    assert not any(module.training for module in model.modules())
    momenta = [getattr(module, "momentum", 0.1) for module in model.modules()]
    assert set(momenta) == {0.1}


def test_batches_of_any_size_count_alike(
    source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for batch in (35, 12):  # 12: three batches of 12, 12 and 11 images
        monkeypatch.setattr("thaw.training.recalibrate._BATCH", batch)
        model = tiny.classifier()
        recalibrate(tiny.runtime(), model, source)
        found.append(model.blocks[0][1].running_mean)  # type: ignore[index]
    torch.testing.assert_close(found[0], found[1], rtol=0.02, atol=0.02)


def test_a_folded_model_has_nothing_to_recalibrate(source: ImageSource) -> None:
    model = tiny.classifier()
    assert has_statistics(model)
    fold_all(model)
    assert not has_statistics(model)
    assert recalibrate(tiny.runtime(), model, source) == 0
