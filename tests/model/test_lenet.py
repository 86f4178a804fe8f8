from __future__ import annotations

import pytest
import torch

from tests import settings
from thaw.model import head, zoo
from thaw.model.classifier import Classifier


def lenet(size: int = 32) -> Classifier:
    backbone, _ = zoo.load(settings.backbone("lenet5", image_size=size))
    top = head.build(settings.head_spec(), backbone.features, 10)
    return Classifier(backbone.blocks, backbone.pool, top)


def test_the_parameters_are_those_of_the_paper() -> None:
    model = lenet()
    counts = [sum(p.numel() for p in part.parameters()) for part in (*model.blocks, model.head)]
    assert counts == [156, 2_416, 48_120, 10_164, 850]
    assert sum(counts) == 61_706


def test_the_maps_are_those_of_the_paper() -> None:
    x = torch.randn(2, 3, 32, 32)
    shapes = []
    for block in lenet().blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(6, 14, 14), (16, 5, 5), (120, 1, 1), (84, 1, 1)]


@pytest.mark.parametrize("size", [16, 28, 48, 64])
def test_other_sizes_than_the_papers_work(size: int) -> None:
    assert lenet(size)(torch.randn(2, 3, size, size)).shape == (2, 10)


def test_lenet_depends_only_on_the_luminance_of_an_image() -> None:
    model = lenet().eval()
    image = torch.rand(1, 3, 32, 32)
    grey = 0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2]
    with torch.no_grad():
        torch.testing.assert_close(
            model.part(0, 4)(image), model.part(0, 4)(grey[:, None].repeat(1, 3, 1, 1))
        )
