from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from thaw.data.framing import resized_size
from thaw.data.manifest import Row
from thaw.data.pack_resolution import find_enlarged

if TYPE_CHECKING:
    from thaw.literals import Framing


def rows(*sizes: tuple[int, int]) -> list[Row]:
    return [
        Row(n, f"{n}.png", "", "a", "train", width, height)
        for n, (height, width) in enumerate(sizes)
    ]


def found(
    sizes: list[tuple[int, int]], image_size: int, crop_pct: float = 1.0, framing: Framing = "crop"
) -> tuple[int, int] | None:
    """Return the number of enlarged images and the needed short side, for a pack of 256."""
    resized = partial(
        resized_size, side=image_size, resized=round(image_size / crop_pct), framing=framing
    )
    enlarged = find_enlarged(rows(*sizes), 256, resized)
    return (enlarged.images, enlarged.needed) if enlarged else None


PHOTO, TALL = (600, 800), (1600, 400)


@pytest.mark.parametrize("framing", ["crop", "pad", "squish"])
def test_an_input_that_the_pack_suits_is_no_finding(framing: Framing) -> None:
    assert found([PHOTO, TALL], 224, 0.875, framing) is None


def test_a_larger_input_needs_the_side_before_the_crop() -> None:
    assert found([PHOTO, TALL], 320, 0.875) == (2, 366)
    assert found([PHOTO], 320) == (1, 320)


def test_padding_needs_the_long_side_only() -> None:
    assert found([PHOTO], 320, framing="pad") is None  # 256 x 341 in the pack
    assert found([PHOTO, (500, 500)], 384, framing="pad") == (2, 384)
    assert found([TALL], 512, framing="pad") is None  # 1024 x 256


def test_squishing_needs_both_sides() -> None:
    assert found([TALL], 320, framing="squish") == (1, 320)


def test_images_that_are_small_themselves_do_not_count() -> None:
    assert found([(200, 300), (256, 256)], 512) is None
    assert found([(200, 300), (300, 300), PHOTO], 512) == (2, 512)
    assert found([(300, 300)], 512) == (1, 300)


def test_a_pack_of_the_needed_side_has_no_finding() -> None:
    for size in (PHOTO, TALL, (601, 799), (333, 1001)):
        for framing in ("crop", "pad", "squish"):
            resized = partial(resized_size, side=300, resized=343, framing=framing)
            first = find_enlarged(rows(size), 256, resized)
            if first is not None:
                assert find_enlarged(rows(size), first.needed, resized) is None


def test_the_warning_names_the_parameter_and_its_value() -> None:
    resized = partial(resized_size, side=320, resized=366, framing="crop")
    enlarged = find_enlarged(rows(PHOTO, (10, 10)), 256, resized)
    assert enlarged is not None
    assert enlarged.warning("image_size 320") == (
        "1 of 2 images are stored with a short side of 256 pixels (prepare.short_side) and are "
        "enlarged to the input of the network (image_size 320): set prepare.short_side to 366 to "
        "keep their detail"
    )
