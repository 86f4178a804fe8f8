from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from thaw.data.resizing import resize_images
from thaw.serving.graph_resizing import EXACT, Weights, pillow_weights, resized, torch_weights

if TYPE_CHECKING:
    from thaw.data.resizing import Interpolation

SIZES = [
    ((40, 30), (17, 13)), ((7, 900), (7, 64)), ((30, 31), (90, 64)), ((301, 300), (256, 255)),
    ((1, 1), (5, 9)), ((666, 311), (548, 256)), ((2000, 3), (9, 3)),
]  # fmt: skip


def noise(height: int, width: int) -> Tensor:
    generator = np.random.default_rng(height + width)
    pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)


def number(value: int) -> Tensor:
    return torch.tensor(float(value), dtype=EXACT)


def places(count: int) -> Tensor:
    return torch.arange(count, dtype=EXACT)


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_the_bits_are_those_of_pillow_row_by_row_then_column_by_column(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    images = noise(*before)
    image = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    rows = image.resize((after[1], before[0]), Image.Resampling.BICUBIC)
    expected = np.asarray(rows.resize(after[::-1], Image.Resampling.BICUBIC))
    passes: list[Weights] = [
        pillow_weights(places(old), number(old), number(new), places(new))
        for old, new in zip(before, after, strict=True)
    ]
    computed = resized(images.float(), *passes)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(computed, expected)


@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_bits_are_those_of_torch_in_integers(
    before: tuple[int, int], after: tuple[int, int], interpolation: Interpolation
) -> None:
    images = noise(*before)
    passes = [
        torch_weights(places(old), number(old), number(new), places(new), interpolation)
        for old, new in zip(before, after, strict=True)
    ]
    has_integers = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    most = 0 if has_integers or interpolation == "bicubic" else 2
    expected = resize_images(images, *after, interpolation).float()
    assert float((resized(images.float(), *passes) - expected).abs().max()) <= most


def test_wanted_places_have_the_weights_that_all_places_have() -> None:
    # The largest weight, which decides the unit, is at a place that is not wanted.
    all_places = torch_weights(places(9), number(9), number(27), places(27), "bicubic")
    few = torch_weights(places(9), number(9), number(27), torch.tensor([0.0, 2.0]), "bicubic")
    assert few.unit == all_places.unit
    assert torch.equal(few.values, all_places.values[[0, 2]])
