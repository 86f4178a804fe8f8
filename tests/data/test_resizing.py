from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

from thaw.data import resizing
from thaw.data.resizing import Interpolation, crop_center, resize_images

MODES: tuple[Interpolation, ...] = ("bilinear", "bicubic")


def images(count: int, height: int, width: int, *, channels_last: bool) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    shape = (count, height, width, 3) if channels_last else (count, 3, height, width)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return pixels.permute(0, 3, 1, 2) if channels_last else pixels


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(
    ("count", "shape", "size"),
    [(1, (37, 53), (64, 91)), (3, (90, 40), (72, 32)), (2, (8, 8), (64, 64)), (1, (9, 9), (9, 9))],
)
def test_resized_images_have_the_bits_of_torchvision(
    interpolation: Interpolation,
    channels_last: bool,
    count: int,
    shape: tuple[int, int],
    size: tuple[int, int],
) -> None:
    given = images(count, *shape, channels_last=channels_last)
    expected = resize(given, list(size), InterpolationMode(interpolation), antialias=True)
    assert torch.equal(resize_images(given, *size, interpolation), expected)


@pytest.mark.parametrize("interpolation", MODES)
def test_resizing_in_float32_is_rounded_as_torchvision_does(
    interpolation: Interpolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resizing, "_resizes_in_integers", lambda *_: False)
    given = images(2, 37, 53, channels_last=True)
    exact = resize(given.double(), [64, 91], InterpolationMode(interpolation), antialias=True)
    moved = resize_images(given, 64, 91, interpolation).double() - exact.clamp(0, 255)
    assert float(moved.abs().max()) <= 0.501


@pytest.mark.parametrize(("height", "width"), [(64, 91), (33, 40), (31, 90), (64, 2)])
def test_a_centre_crop_is_that_of_torchvision(height: int, width: int) -> None:
    given = images(2, 64, 91, channels_last=True)
    expected = center_crop(given, [height, width])
    assert torch.equal(crop_center(given, height, width), expected)
