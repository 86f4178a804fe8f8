from __future__ import annotations

import pytest
import torch
from torch import nn

from tests import settings, tiny
from thaw.model import zoo
from thaw.model.synced_batchnorm import synced


def kinds(module: nn.Module) -> list[str]:
    return [type(child).__name__ for child in module.modules() if hasattr(child, "running_mean")]


def test_only_the_chosen_blocks_are_synchronised_and_only_in_the_context() -> None:
    classifier = tiny.classifier()
    before = list(classifier.modules())
    with synced(classifier.blocks, [1, 2]):
        assert [kinds(block) for block in classifier.blocks] == [
            ["BatchNorm2d"], ["SyncBatchNorm"], ["SyncBatchNorm"],
        ]  # fmt: skip
    assert list(classifier.modules()) == before


def test_weights_and_statistics_are_the_same_tensors() -> None:
    classifier = tiny.classifier()
    names = dict(classifier.named_parameters())
    buffers = dict(classifier.named_buffers())
    with synced(classifier.blocks, [0, 1, 2]):
        assert all(names[name] is value for name, value in classifier.named_parameters())
        for name, buffer in classifier.named_buffers():
            assert buffer is buffers[name]
            buffer.add_(1)  # training moves the statistics
    assert all(buffer is buffers[name] for name, buffer in classifier.named_buffers())
    assert int(classifier.state_dict()["blocks.1.1.num_batches_tracked"]) == 1


def test_statistics_of_blocks_that_were_moved_meanwhile_return_as_well() -> None:
    classifier = tiny.classifier()
    with synced(classifier.blocks, [0, 1, 2]):
        classifier.to("meta")  # as to a GPU: buffers are other tensors afterwards
        classifier.to_empty(device="cpu")
        for buffer in classifier.buffers():
            buffer.fill_(3)  # training moves the statistics
        inside = dict(classifier.named_parameters())
    assert {float(buffer.double().mean()) for buffer in classifier.buffers()} == {3.0}
    assert all(inside[name] is value for name, value in classifier.named_parameters())


def test_modules_return_after_an_error() -> None:
    classifier = tiny.classifier()
    before = list(classifier.modules())
    with pytest.raises(ZeroDivisionError), synced(classifier.blocks, [2]):
        raise ZeroDivisionError
    assert list(classifier.modules()) == before


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "torchvision/resnet18"])
def test_a_synchronised_network_computes_the_same_in_evaluation_mode(name: str) -> None:
    backbone = zoo.load(settings.backbone(name))[0]
    images = torch.randn(2, 3, 64, 64)
    blocks = nn.ModuleList(backbone.blocks).eval()

    def outputs() -> torch.Tensor:
        activations = images
        with torch.no_grad():
            for block in blocks:
                activations = block(activations)
        return activations

    expected = outputs()
    with synced(blocks, range(len(blocks))):
        blocks.eval()
        assert all("Sync" in kind for kind in kinds(blocks))
        torch.testing.assert_close(outputs(), expected)
    assert torch.equal(outputs(), expected)
