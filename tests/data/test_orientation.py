from __future__ import annotations

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from tests.data.pictures import noise
from thaw.data.orientation import operation_of, upright_rows, upright_size


def stored(orientation: int) -> Image.Image:
    """Return an image of 7 x 5 pixels with this EXIF orientation."""
    image = Image.fromarray(noise(5, 7, 3))
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return image


@pytest.mark.parametrize("orientation", range(10))
def test_the_upright_image_is_that_of_pillow(orientation: int) -> None:
    image = stored(orientation)
    operation = operation_of(image)
    expected = ImageOps.exif_transpose(image)
    assert upright_size(image.size, operation) == expected.size
    found = upright_rows(image, operation, 0, expected.height)
    assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_of_rows_make_up_the_upright_image(orientation: int) -> None:
    image = stored(orientation)
    operation = operation_of(image)
    _, height = upright_size(image.size, operation)
    strips = [
        np.asarray(upright_rows(image, operation, top, min(top + 2, height)))
        for top in range(0, height, 2)
    ]
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(np.concatenate(strips), expected)


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_an_upright_or_undefined_orientation_needs_no_operation(orientation: int) -> None:
    assert operation_of(stored(orientation)) is None
