from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from tests import settings, tiny
from tests.training import phase
from tests.training.greedy import greedy
from thaw.data.loading import ImageSource
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.errors import ThawError
from thaw.model import zoo
from thaw.training.layerwise_pretraining import pretrain
from thaw.training.out_of_memory import MemoryShortageError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@pytest.fixture
def images(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train")


def blocks(name: str = "lenet5", size: int = 16) -> nn.ModuleList:
    backbone, _ = zoo.load(settings.backbone(name, image_size=size, init="glorot"))
    return nn.ModuleList(backbone.blocks)


def weights(block: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in block.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.fixture
def digits(tmp_path: Path) -> ImageSource:
    """Real ones, of 8 x 8 pixels, that the source enlarges to 16."""
    scans = load_digits()
    (tmp_path / "digits").mkdir()
    with PackWriter(tmp_path / "digits", settings.prepare(short_side=8, encoding="raw")) as store:
        for pixels in scans.images[:256]:
            store.add(np.repeat((pixels * 15.9)[..., None], 3, axis=2).astype(np.uint8))
    store_of_all = PackedStore(tmp_path / "digits")
    return ImageSource(
        store_of_all, np.arange(256), scans.target.astype(np.int64), phase.PREPROCESSING
    )


def test_a_pretraining_that_does_not_fit_into_memory_is_named(images: ImageSource) -> None:
    trained = tiny.classifier().blocks
    greedy(trained[1], 8)
    with pytest.raises(MemoryShortageError, match=r"block 2 of 3\): 64 images do not fit"):
        pretrain(tiny.runtime(), trained, images, 1, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "tiny"])
def test_the_reconstruction_error_falls_below_that_of_the_mean_image(
    digits: ImageSource, name: str
) -> None:
    first = (blocks() if name == "lenet5" else tiny.classifier().blocks)[:1]
    places = np.arange(len(digits))
    images = digits.finish(digits.read(places), places, None)
    (error,) = pretrain(tiny.runtime(), first, digits, 15, seed=0)
    # what a decoder would come to that knows nothing of the image
    assert 0 < error < 0.8 * float((images - images.mean(dim=0)).square().mean())


@pytest.mark.parametrize("name", ["lenet5", "tiny"])
def test_the_reconstruction_error_falls_with_training(digits: ImageSource, name: str) -> None:
    errors = []
    for epochs in (1, 3, 9):
        first = (blocks() if name == "lenet5" else tiny.classifier().blocks)[:1]
        errors += pretrain(tiny.runtime(), first, digits, epochs, seed=0)
    assert errors[0] > 1.1 * errors[1] > 1.1**2 * errors[2]


def test_blocks_change_and_are_left_in_evaluation_mode(images: ImageSource) -> None:
    trained, untouched = tiny.classifier().train().blocks, tiny.classifier().blocks
    assert len(pretrain(tiny.runtime(), trained, images, 1, seed=0)) == 3
    for block, before in zip(trained, untouched, strict=True):
        assert not same(weights(block), weights(before))
        assert not any(module.training for module in block.modules())


def test_a_block_does_not_change_once_the_next_one_trains(images: ImageSource) -> None:
    whole = tiny.classifier().blocks
    pretrain(tiny.runtime(), whole, images, 2, seed=0)
    for count in (1, 2):
        lower = nn.ModuleList(tiny.classifier().blocks[:count])
        pretrain(tiny.runtime(), lower, images, 2, seed=0)
        for mine, theirs in zip(lower, whole, strict=False):
            assert same(weights(mine), weights(theirs))


def test_layerwise_pretraining_is_a_function_of_its_seed(images: ImageSource) -> None:
    results: list[tuple[list[float], dict[str, Tensor]]] = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(results))  # must not influence the result
        model = tiny.classifier().blocks
        errors = pretrain(tiny.runtime(), model, images, 1, seed=seed)
        results.append((errors, weights(model)))
    assert results[0][0] == results[1][0] != results[2][0]
    assert same(results[0][1], results[1][1])
    assert not same(results[0][1], results[2][1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm/test_vit", "timm/swin_tiny_patch4_window7_224"])
def test_tokens_are_refused(images: ImageSource, name: str) -> None:
    with pytest.raises(ThawError, match=r"backbone\.layerwise_epochs: .*tokens"):
        pretrain(tiny.runtime(), blocks(name, 64 if "swin" in name else 16), images, 1, seed=0)
