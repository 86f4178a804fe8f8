from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from thaw.data.framing import center, resized_size

if TYPE_CHECKING:
    from thaw.literals import Framing

FILL = (10, 20, 30)


def images(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    pixels = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)
    return pixels.permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("framing", "expected"), [("crop", (256, 512)), ("pad", (128, 256)), ("squish", (256, 256))]
)
def test_the_resized_side_is_the_short_side_the_long_side_or_both(
    framing: Framing, expected: tuple[int, int]
) -> None:
    assert resized_size(100, 200, side=224, resized=256, framing=framing) == expected
    assert resized_size(200, 100, side=224, resized=256, framing=framing) == expected[::-1]


def test_a_line_keeps_one_pixel() -> None:
    assert resized_size(1000, 1, side=32, resized=32, framing="pad") == (32, 1)


@pytest.mark.parametrize(("height", "width"), [(64, 91), (33, 40), (31, 90), (64, 2)])
def test_the_centre_of_a_larger_image_is_that_of_torchvision(height: int, width: int) -> None:
    given = images(64, 91)
    assert torch.equal(center(given, height, width, FILL), center_crop(given, [height, width]))


@pytest.mark.parametrize(("height", "width"), [(16, 32), (32, 11), (9, 9), (9, 40), (1, 1)])
def test_a_smaller_image_lies_in_the_middle_of_its_borders(height: int, width: int) -> None:
    given = images(height, width)
    framed = center(given, 32, 32, FILL)
    assert framed.shape == (2, 3, 32, 32)
    rows, columns = min(height, 32), min(width, 32)
    assert torch.equal(
        center_crop(framed, [rows, columns])[..., :rows, :columns],
        center_crop(given, [rows, columns]),
    )
    border = (framed == torch.tensor(FILL, dtype=torch.uint8).view(1, 3, 1, 1)).all(dim=1)
    top = (32 - rows) // 2
    assert border[:, : max(0, top - 1)].all()
    assert border[:, :, : max(0, (32 - columns) // 2 - 1)].all()
    assert abs(int(border.sum()) - 2 * (32 * 32 - rows * columns)) <= 4  # pixels of its colour
