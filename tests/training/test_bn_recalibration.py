from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tests.training import phase
from tests.training.greedy import greedy
from tests.training.no_reading import no_reading
from thaw.data.loading import ActivationSource
from thaw.data.random_draws import shuffled
from thaw.model.batchnorm import fold_all, has_statistics
from thaw.training.bn_recalibration import recalibrate
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.runtime import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from thaw.data.loading import ImageSource


@pytest.fixture
def source(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train")


def test_the_statistics_become_those_of_the_data(source: ImageSource) -> None:
    model = tiny.classifier()
    assert recalibrate(tiny.runtime(), model, source, seed=0) == 3
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
    recalibrate(tiny.runtime(), model, source, seed=0)
    for name, value in model.named_parameters():
        assert torch.equal(value, parameters[name])
    assert not any(module.training for module in model.modules())
    momenta = [getattr(module, "momentum", 0.1) for module in model.modules()]
    assert set(momenta) == {0.1}


def test_statistics_that_do_not_fit_into_memory_are_named(source: ImageSource) -> None:
    model = tiny.classifier()
    greedy(model.head, 34, with_gradients=False)
    with pytest.raises(MemoryShortageError, match=r"\(statistics\): 35 images do not fit"):
        recalibrate(tiny.runtime(), model, source, seed=0)


def test_the_statistics_have_the_bits_of_the_plain_mean_of_torch(
    source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.training.bn_recalibration._BATCH", 8)
    found = {}
    for kind in ("thaw", "torch"):
        model = tiny.classifier()
        twice = model.blocks[1]  # its BatchNorm is called twice for each batch
        model.blocks[1] = nn.Sequential(twice, twice)
        runtime = tiny.runtime()
        if kind == "thaw":
            recalibrate(runtime, model, source, seed=0)
        else:
            order = shuffled(len(source), 0, 0)
            for norm in (x for x in model.modules() if isinstance(x, nn.BatchNorm2d)):
                norm.reset_running_stats()
                norm.momentum = None
                norm.train()
            with torch.no_grad():
                for batch in runtime.load(source, runtime.batch_parts(order, 7, 2)):
                    model(batch.inputs)
        found[kind] = model.state_dict()
    for name, values in found["torch"].items():
        assert torch.equal(found["thaw"][name], values), name


def test_no_batch_waits_for_the_device(source: ImageSource) -> None:
    model = tiny.classifier()
    with no_reading():
        recalibrate(tiny.runtime(), model, source, seed=0)
    model.blocks[0][1].train().momentum = None  # type: ignore[index]
    with pytest.raises(AssertionError, match="waits for the device"), no_reading():
        model(torch.zeros(2, 3, 16, 16))


def test_batches_of_any_size_count_alike(
    source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for batch in (35, 12):  # 12: three batches of 12, 12 and 11 images
        monkeypatch.setattr("thaw.training.bn_recalibration._BATCH", batch)
        model = tiny.classifier()
        recalibrate(tiny.runtime(), model, source, seed=0)
        found.append(model.blocks[0][1].running_mean)  # type: ignore[index]
    torch.testing.assert_close(found[0], found[1], rtol=0.02, atol=0.02)


def test_the_variance_between_classes_that_stand_in_order_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("thaw.training.bn_recalibration._BATCH", 12)  # a batch could be one class
    targets = np.repeat(np.arange(3), 12)
    noise = np.random.default_rng(0).normal(size=(36, 3, 16, 16))
    images = (noise + 4 * targets[:, None, None, None]).astype(np.float32)
    model = tiny.classifier()
    recalibrate(tiny.runtime(), model, ActivationSource(images, targets), seed=0)
    with torch.no_grad():
        first = model.blocks[0][0](torch.from_numpy(images))  # type: ignore[index]
    norm = model.blocks[0][1]  # type: ignore[index]
    torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(norm.running_var, first.var((0, 2, 3)), rtol=0.15, atol=0.0)


class Ranks(Runtime):
    """One of two processes; the other one computes the same."""

    @property
    def world(self) -> int:
        return 2

    def sum(self, value: Tensor) -> Tensor:
        return 2 * value


def test_two_processes_estimate_the_variance_between_two_images(tmp_path: Path) -> None:
    images = phase.images(tmp_path / "two", 2)
    found = []
    for kind in (Runtime, Ranks):
        runtime = tiny.runtime()
        one = kind(runtime.accelerator, 0, 1e9, runtime.precision, asynchronous=False)
        torch.manual_seed(0)
        model = nn.Sequential(tiny.block(3, 8, 4), tiny.block(8, 16, 4))  # the last map: one pixel
        recalibrate(one, model, images, seed=0)  # type: ignore[arg-type]
        found.append(model[1][1].running_var)  # type: ignore[index]
    assert torch.equal(found[0], found[1])
    assert float(found[0].max()) > 0.0


@pytest.mark.parametrize(("kind", "images"), [(Runtime, 17), (Ranks, 18)])
def test_one_image_that_is_left_for_a_process_joins_the_batch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Runtime], images: int
) -> None:
    monkeypatch.setattr("thaw.training.bn_recalibration._BATCH", 4)  # as 128 for 16,257 images
    plain = tiny.runtime()
    runtime = kind(plain.accelerator, 0, 1e9, plain.precision, asynchronous=False)
    model = nn.Sequential(tiny.block(3, 8, 4), tiny.block(8, 16, 4))  # the last map: one pixel
    source = phase.images(tmp_path / "many", images)
    assert recalibrate(runtime, model, source, seed=0) == 2  # type: ignore[arg-type]


def test_a_folded_model_has_nothing_to_recalibrate(source: ImageSource) -> None:
    model = tiny.classifier()
    assert has_statistics(model)
    fold_all(model)
    assert not has_statistics(model)
    assert recalibrate(tiny.runtime(), model, source, seed=0) == 0
