from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thaw.evaluation.page.heat_maps import heat_maps, overlaid
from thaw.model.classifier import AveragePool, Classifier, Layout


class Bright(nn.Module):
    """A block with one channel for the brightness and one for the darkness, at a quarter size."""

    def __init__(self, layout: Layout, others: int = 0) -> None:
        super().__init__()
        self.layout, self.others = layout, others

    def forward(self, images: Tensor) -> Tensor:
        bright = nn.functional.avg_pool2d(images.mean(1, keepdim=True), 4)
        maps = torch.cat([bright, 1 - bright], dim=1)
        if self.layout == "NCHW":
            return maps
        if self.layout == "NHWC":
            return maps.permute(0, 2, 3, 1)
        tokens = maps.flatten(2).transpose(1, 2)
        return torch.cat([torch.zeros(len(tokens), self.others, 2), tokens], dim=1)


def classifier(layout: Layout, others: int = 0) -> Classifier:
    return Classifier([Bright(layout, others)], AveragePool(layout), nn.Identity(), layout=layout)


def one_bright_corner() -> Tensor:
    images = torch.zeros(2, 3, 16, 16)
    images[0, :, :4, :4] = 1.0
    images[1, :, 12:, 12:] = 1.0
    return images


@pytest.mark.parametrize(
    ("layout", "others"), [("NCHW", 0), ("NHWC", 0), ("NLC", 0), ("NLC", 1), ("NLC", 5)]
)
def test_the_map_shows_where_the_evidence_for_the_class_is(layout: Layout, others: int) -> None:
    maps = heat_maps(classifier(layout, others), one_bright_corner(), np.array([0, 0]))
    assert maps is not None
    assert maps.shape == (2, 16, 16)
    assert maps[0, 0, 0] == pytest.approx(1.0)
    assert maps[0, 15, 15] == pytest.approx(0.0)
    assert maps[1, 15, 15] == pytest.approx(1.0)
    dark = heat_maps(classifier(layout, others), one_bright_corner(), np.array([1, 1]))
    assert dark is not None
    assert dark[0, 0, 0] < 0.1 < dark[0, 15, 15]


def test_the_classifier_is_unchanged_afterwards() -> None:
    model = classifier("NCHW")
    images = one_bright_corner()
    before = model(images)
    heat_maps(model, images, np.array([0, 1]))
    assert isinstance(model.blocks[-1], Bright)
    torch.testing.assert_close(model(images), before)


def test_a_mirrored_classifier_gets_the_maps_of_the_images_themselves() -> None:
    model = classifier("NCHW")
    model.mirrored = True
    maps = heat_maps(model, one_bright_corner(), np.array([0, 0]))
    assert maps is not None
    assert maps.shape == (2, 16, 16)
    assert maps[0, 0, 0] == pytest.approx(1.0)


def test_an_output_without_positions_has_no_map() -> None:
    model = Classifier([nn.Flatten()], nn.Identity(), nn.Linear(3 * 16, 2), layout="NCHW")
    assert heat_maps(model, torch.zeros(1, 3, 4, 4), np.array([0])) is None


def test_a_region_without_heat_keeps_its_pixels() -> None:
    pixels = np.full((4, 4, 3), 100, dtype=np.uint8)
    heat = np.zeros((4, 4))
    heat[0, 0] = 1.0
    shown = overlaid(pixels, heat)
    assert (shown[1:] == 100).all()
    assert (shown[0, 0] != 100).any()
