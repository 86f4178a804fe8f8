from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thaw.data.decoding import decode
from thaw.errors import ThawError
from thaw.serving.image_inputs import encode, is_list_of_images

if TYPE_CHECKING:
    from collections.abc import Callable


def decoded(content: bytes) -> np.typing.NDArray[np.uint8]:
    return decode(content, short_side=1000, max_megapixels=1.0).pixels


def pixels(*shape: int) -> np.typing.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def test_arrays_keep_their_pixels() -> None:
    colour, grey = pixels(5, 7, 3), pixels(5, 7)
    np.testing.assert_array_equal(decoded(encode(colour)), colour)
    np.testing.assert_array_equal(decoded(encode(colour[:, ::-1])), colour[:, ::-1])
    np.testing.assert_array_equal(decoded(encode(grey)), np.stack([grey] * 3, axis=2))


def test_a_pil_image_is_turned_as_its_exif_orientation_says() -> None:
    image = Image.fromarray(pixels(5, 7, 3))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    opened = Image.open(buffer)
    np.testing.assert_array_equal(decoded(encode(opened)), decoded(buffer.getvalue()))
    assert decoded(encode(opened)).shape == (7, 5, 3)


def test_a_mode_that_png_does_not_have_is_converted() -> None:
    image = Image.fromarray(pixels(4, 4, 3)).convert("CMYK")
    np.testing.assert_array_equal(decoded(encode(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("dtype", ["int32", "float32", ">u2"])
def test_pil_images_of_more_than_8_bits_keep_their_values_and_their_orientation(
    dtype: str,
) -> None:
    values = np.array([[0, 1000, 4000], [500, 2000, 3000]], dtype)
    image = Image.fromarray(values)
    image.getexif()[0x0112] = 6  # a quarter turn
    found = decode(encode(image), short_side=9, max_megapixels=1.0, pixel_range=(0, 4000))
    expected = np.rot90(np.rint(values.astype(float) * 255 / 4000), -1)
    np.testing.assert_array_equal(found.pixels[..., 0], expected)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 4, 3)), r"array of type float64 and shape \(4, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\)"),
        (7, "an image of type int"),
    ],
)
def test_values_that_are_not_images_are_refused(image: Any, reason: str) -> None:
    with pytest.raises(ThawError, match=reason):
        encode(image)


def closed_image() -> Image.Image:
    buffer = io.BytesIO()
    Image.fromarray(pixels(4, 4, 3)).save(buffer, "PNG")
    opened = Image.open(buffer)
    opened.close()
    return opened


@pytest.mark.parametrize("make", [closed_image, lambda: Image.new("La", (4, 4))])
def test_pil_images_without_readable_pixels_are_refused(make: Callable[[], Image.Image]) -> None:
    with pytest.raises(ThawError, match=r"^a PIL image of mode (RGB|La): "):
        encode(make())


@pytest.mark.parametrize(
    "images",
    [[], ("a.png",), iter(["a.png"]), pixels(2, 5, 7), pixels(2, 5, 7, 3), pd.Series(["a.png"])],
)
def test_several_images_in_any_container_are_a_list(images: Any) -> None:
    assert is_list_of_images(images)


@pytest.mark.parametrize(
    "images",
    [
        "a.png",
        b"x",
        bytearray(b"x"),
        7,
        None,
        pixels(5, 7),
        pixels(5, 7, 3),
        pixels(5, 7, 4),
        Image.fromarray(pixels(5, 7, 3)),
        {"image": "a.png"},
        pd.DataFrame({"image": ["a.png"]}),
    ],
)
def test_one_image_or_a_table_is_not_a_list(images: Any) -> None:
    assert not is_list_of_images(images)
