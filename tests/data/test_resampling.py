"""Geometry of augmentation: mirrored with the other changes in one step."""

from __future__ import annotations

import pytest
import torch

from tests import settings
from thaw.data.resampling import resample

NAMES = ("rotate", "zoom", "shift_x", "shift_y", "crop_area", "crop_ratio", "crop_x", "crop_y")


@pytest.mark.parametrize("changes", [{"crop": 0.5}, {"rotate": 20.0, "zoom": 0.2, "shift": 0.1}])
def test_an_image_is_mirrored_after_the_other_changes(changes: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 9, 9, generator=generator)
    draws = {name: torch.rand(4, generator=generator) for name in NAMES}
    config = settings.augment(**changes)
    mirrored = torch.tensor([True, False, True, False])
    plain = resample(images, draws, config, None)
    expected = torch.where(mirrored.view(-1, 1, 1, 1), plain.flip(-1), plain)
    torch.testing.assert_close(resample(images, draws, config, mirrored), expected)
    assert not torch.allclose(plain, expected)
