from __future__ import annotations

import struct
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.data.deep_pictures import DEFLATE, chunk, png_16, tiff
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import Decoded, decode
from thaw.data.pixel_range import UsedRange

if TYPE_CHECKING:
    from numpy.typing import NDArray

# 0, 65, 130 ... 4095: 12 bits
RAMP = np.linspace(0, 4095, 64).round().astype(int).reshape(8, 8)
GREYS = np.rint(RAMP * (255 / 4095)).astype(int)
STORED = [(order, compression) for order, compression in product("<>", (1, DEFLATE))]


def read(content: bytes, pixel_range: Any = "type") -> Decoded:
    return decode(content, short_side=64, max_megapixels=1.0, pixel_range=pixel_range)


def colours() -> NDArray[np.int64]:
    """Return 12-bit colours (8, 8, 3) with different channels."""
    return np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1)


# What 12 bits in 16 become


def test_12_bits_in_16_lose_most_levels_by_default_and_are_reported_as_a_sliver() -> None:
    image = read(png_16(RAMP))
    assert image.pixels.max() == 15
    assert image.used == UsedRange(0, 4095, 0, 65535)
    assert image.used.is_sliver


@pytest.mark.parametrize("pixel_range", ["image", (0.0, 4095.0)])
@pytest.mark.parametrize("kind", ["png", *STORED])
def test_grey_keeps_its_levels_under_the_range_of_the_image_or_a_given_one(
    kind: Any, pixel_range: Any
) -> None:
    files = [png_16(RAMP)]
    if kind != "png":
        order, compression = kind
        types = ["u2", "i2", "i4", "f4", *(["u4"] if order == "<" else [])]
        files = [tiff(RAMP.astype(t), order=order, compression=compression) for t in types]
    for content in files:
        image = read(content, pixel_range)
        for channel in range(3):
            np.testing.assert_array_equal(image.pixels[..., channel], GREYS)
        assert image.used is not None
        assert not image.used.is_sliver


@pytest.mark.parametrize("pixel_range", ["image", (0.0, 4095.0)])
@pytest.mark.parametrize("kind", ["png", *STORED])
def test_colours_of_16_bits_are_scaled_to_8_bits_by_the_given_range(
    kind: Any, pixel_range: Any
) -> None:
    values = colours()
    if kind == "png":
        content = png_16(values)
    else:
        content = tiff(values.astype("u2"), order=kind[0], compression=kind[1])
    image = read(content, pixel_range)
    np.testing.assert_array_equal(image.pixels, np.rint(values * (255 / 4095)))
    assert image.conversions == ("16 bits to 8 bits",)


def test_colours_of_16_bits_are_counted_and_keep_their_high_bytes_by_default() -> None:
    values = np.stack([RAMP * 16, 65535 - RAMP, RAMP.T], axis=-1)
    image = read(png_16(values))
    np.testing.assert_array_equal(image.pixels, values // 256)
    assert image.conversions == ("16 bits to 8 bits",)
    assert image.used is not None
    assert not image.used.is_sliver


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("pixel_range", ["type", "image"])
def test_transparency_of_16_bits_is_composited_on_white(channels: int, pixel_range: Any) -> None:
    values = np.zeros((2, 2, channels))
    values[0], values[1, 1, :-1] = 4095, 4095
    values[..., -1] = 65535
    values[0, 0, -1] = 0
    image = read(png_16(values), pixel_range)
    light = 255 if pixel_range == "image" else 15
    np.testing.assert_array_equal(image.pixels[..., 0], [[255, light], [0, light]])
    assert image.conversions == ("16 bits to 8 bits", "transparency composited on white")


# Other sample types


def test_samples_of_12_bits_fill_the_whole_range() -> None:
    # 0x000, 0x7FF and so on: two samples in three bytes
    packed = np.frombuffer(bytes.fromhex("0007ff fff000".replace(" ", "")), np.uint8).reshape(1, 6)
    image = read(tiff(packed, bits=12))
    assert image.pixels[0, :, 0].tolist() == [0, 127, 255, 0]
    assert read(tiff(packed, bits=12), "clip").pixels.max() == 15


@pytest.mark.parametrize("compression", [1, DEFLATE])
def test_zero_is_white_where_a_tiff_says_so(compression: int) -> None:
    content = tiff(RAMP.astype("u2"), compression=compression, photometric=0)
    np.testing.assert_array_equal(read(content, (0, 4095)).pixels[..., 0], 255 - GREYS)


@pytest.mark.parametrize(("order", "compression"), STORED)
def test_signed_samples_of_8_bits_are_refused(order: Any, compression: int) -> None:
    values = np.array([[-100, 0, 100]], dtype=np.int8)
    content = tiff(values, order=order, compression=compression)
    for pixel_range in ("type", "image", (-128.0, 127.0)):
        with pytest.raises(DecodeError, match="signed samples of 8 bits, whose negative values"):
            read(content, pixel_range)
    assert read(content, "clip").pixels[0, :, 0].tolist() == [156, 0, 100]  # as earlier models


def test_unsigned_samples_of_32_bits_are_not_read_as_negative_ones() -> None:
    values = np.array([[0, 2**32 - 1]], "u4")
    assert read(tiff(values), "image").pixels[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, DEFLATE])
def test_hounsfield_units_are_refused_without_a_range_and_kept_with_one(
    order: Any, compression: int
) -> None:
    values = np.array([[-1000, 0, 1000, 3000]])
    for kind in ("i2", "i4"):
        content = tiff(values.astype(kind), order=order, compression=compression)
        with pytest.raises(DecodeError, match="values from -1000 to 3000 are outside") as raised:
            read(content)
        assert raised.value.setting.startswith("set prepare.range to image or to the [low, high]")
        assert read(content, (-1000, 3000)).pixels[0, :, 0].tolist() == [0, 64, 128, 255]


def test_values_of_0_to_255_in_32_bits_are_reported_as_a_sliver() -> None:
    image = read(tiff(np.arange(256, dtype="i4").reshape(16, 16)))
    assert image.used is not None
    assert image.used.is_sliver


def test_floating_point_has_no_range_of_its_own() -> None:
    content = tiff(np.array([[0.0, 0.5, 1.0]], "f4"))
    with pytest.raises(DecodeError, match="no defined range: save the image with 8 or 1") as raised:
        read(content)
    assert raised.value.setting == "set prepare.range to image or to [low, high]"
    image = read(content, (0, 1))
    assert image.pixels[0, :, 0].tolist() == [0, 128, 255]
    assert image.conversions == ("floating point to 8 bits",)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("pixel_range", ["image", (0, 1)])
def test_values_that_are_no_numbers_are_refused(value: float, pixel_range: Any) -> None:
    for place in range(3):
        values = np.zeros((1, 3), "f4")
        values[0, place] = value
        with pytest.raises(DecodeError, match="not finite numbers"):
            read(tiff(values), pixel_range)


# What stays


@pytest.mark.parametrize("pixel_range", ["image", (0, 9)])
def test_images_of_8_bits_are_left_as_they_are(pixel_range: Any) -> None:
    values = np.array([[10, 200]], "u1")
    image = read(tiff(values), pixel_range)
    assert image.pixels[0, :, 0].tolist() == [10, 200]
    assert image.used is None


def test_models_of_earlier_versions_decode_as_they_did() -> None:
    values = np.array([[-1000, 0, 65535, 100_000]], "i4")
    assert read(tiff(values), "clip").pixels[0, :, 0].tolist() == [0, 0, 255, 255]
    inverted = tiff(np.array([[0, 65535]], "u2"), photometric=0)
    assert read(inverted, "clip").pixels[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("pixel_range", ["type", "image"])
def test_a_transparent_colour_of_16_bits_is_shown_and_no_other_becomes_white(
    pixel_range: Any,
) -> None:
    # Its low byte is the high byte of the first pixel, which Pillow would take for it.
    values = np.array([[[0x1200, 0x1200, 0x1200], [0x3412, 0x3412, 0x3412]]])
    plain = png_16(values)
    at = plain.index(b"IDAT") - 4
    content = plain[:at] + chunk(b"tRNS", struct.pack(">3H", *[0x3412] * 3)) + plain[at:]
    found, expected = read(content, pixel_range), read(plain, pixel_range)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    reason = "a transparent colour of 16 bits shown as it is"
    assert found.conversions == (reason, *expected.conversions)
