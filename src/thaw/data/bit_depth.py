"""Images of more than 8 bits per sample: their conversion to 8 bits.

Pillow has no mode for colours of 16 bits: it keeps the high bytes of such samples. Where the low
bytes are needed, the file is decoded a second time, in the other byte order.
"""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from thaw.data.decode_error import DecodeError
from thaw.data.limits import strips
from thaw.data.pixel_range import WHITE, UsedRange, used_range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from thaw.data.pixel_range import PixelRange

_COLOURS = re.compile(r"(RGB|RGBX|RGBA|LA|CMYK|RGBa);16[BLN]")
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
# libtiff returns samples in the byte order of the machine, but Pillow assumes that of the file.
_IN_ORDER_OF_MACHINE = {"I;16BS": "I;16S", "I;32BS": "I;32S", "F;32BF": "F;32F"}
_TWELVE_BITS = 4095
_PHOTOMETRIC = 262  # TIFF 6.0, section 8
_ZERO_IS_WHITE = 0
_SAMPLE_FORMAT, _SIGNED = 339, 2  # section 19


def raw_mode(image: Image.Image) -> str:
    """Return how the samples of an opened, not yet decoded image are stored, as Pillow names it."""
    tiles: list[Any] = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def refuse_signed_bytes(image: Image.Image) -> None:
    """Refuse signed samples of 8 bits: Pillow takes -1 as 255.

    Raises:
        DecodeError: ``image`` has such samples.
    """
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if not _is_grey(image) and _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise DecodeError(
            "it has signed samples of 8 bits, whose negative values would be read as 128 to 255",
            remedy="save the image with signed samples of 16 bits",
        )


def drop_transparent_colour(image: Image.Image, raw: str) -> bool:
    """Remove the transparent colour of an image of 16 bits per sample; return whether it has one.

    Pillow would compare its low bytes with the high bytes of the pixels.
    """
    if not _COLOURS.fullmatch(raw) and not _is_grey(image):
        return False
    return image.info.pop("transparency", None) is not None


def correct_byte_order(image: Image.Image) -> None:
    """Correct the byte order that Pillow assumes, before ``image`` is decoded."""
    raw = raw_mode(image)
    is_from_libtiff = [tile[0] for tile in getattr(image, "tile", [])] == ["libtiff"]
    if is_from_libtiff and sys.byteorder == "little" and raw in _IN_ORDER_OF_MACHINE:
        _set_raw_mode(image, _IN_ORDER_OF_MACHINE[raw])


def conversion_of(image: Image.Image, raw: str) -> str | None:
    """Return the name of the conversion to 8 bits; None if ``image`` has 8 bits per sample."""
    if image.mode == "F":
        return "floating point to 8 bits"
    return "16 bits to 8 bits" if _is_grey(image) or _COLOURS.fullmatch(raw) else None


def has_deep_colours(image: Image.Image, raw: str) -> bool:
    """Return whether the file has colours of 16 bits, of which Pillow keeps the high bytes."""
    return not _is_grey(image) and conversion_of(image, raw) is not None


def to_8_bits(
    image: Image.Image, raw: str, content: bytes, pixel_range: PixelRange
) -> tuple[Image.Image, UsedRange]:
    """Return a decoded image of more than 8 bits per sample with 8 bits, and the range it uses.

    ``raw`` is its raw mode, ``content`` the file. Grey becomes mode L; colours keep their mode.

    Raises:
        DecodeError: no rule converts the samples, or they are outside of ``pixel_range``.
    """
    if _is_grey(image):
        return _grey_to_8_bits(image, raw, pixel_range)
    kind = raw.partition(";")[0]
    if pixel_range in {"type", "clip"} or kind in {"CMYK", "RGBa"}:
        return image, _range_of_high_bytes(image)
    return _colours_to_8_bits(image, kind, _with_low_bytes(content, raw), pixel_range)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def _grey_to_8_bits(
    image: Image.Image, raw: str, pixel_range: PixelRange
) -> tuple[Image.Image, UsedRange]:
    if image.mode == "F" and pixel_range in {"type", "clip"}:
        raise DecodeError(
            "floating-point pixels have no defined range",
            remedy="save the image with 8 or 16 bits",
            setting="set prepare.range to image or to [low, high]",
        )
    extrema = [(v.min(), v.max()) for _, v in _grey_strips(image, raw, pixel_range)]
    if not np.isfinite(extrema).all():
        raise DecodeError("it has pixels that are not finite numbers", remedy="replace them")
    low, high = float(np.min(extrema)), float(np.max(extrema))
    used = used_range(pixel_range, low, high, _TWELVE_BITS if raw == "I;12" else WHITE)
    result = np.empty(image.size[::-1], dtype=np.uint8)
    for top, values in _grey_strips(image, raw, pixel_range):
        result[top : top + len(values)] = used.to_8_bits(values)
    if pixel_range != "clip" and _is_zero_white(image):
        np.subtract(255, result, out=result)
    return Image.fromarray(result), used


def _grey_strips(
    image: Image.Image, raw: str, pixel_range: PixelRange
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (first row, values) of strips of a grey image."""
    for top, bottom in strips(*image.size):
        values = np.asarray(image.crop((0, top, image.width, bottom)))
        if raw.startswith("I;32N") and pixel_range != "clip":  # Pillow takes them as signed
            values = values.view(np.uint32)
        yield top, values


def _is_zero_white(image: Image.Image) -> bool:
    """Return whether 0 is white in an image of 16 bits; Pillow inverts images of 8 bits only."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    return image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == _ZERO_IS_WHITE


def _range_of_high_bytes(image: Image.Image) -> UsedRange:
    """Return the range of colours that Pillow has reduced to their high bytes."""
    bands = np.array([image.getchannel(name).getextrema() for name in _colour_bands(image)])
    return UsedRange(int(bands.min()) * 257, int(bands.max()) * 257, 0, WHITE)


def _colour_bands(image: Image.Image) -> list[str]:
    return [name for name in image.getbands() if name not in {"A", "a", "X"}]


def _with_low_bytes(content: bytes, raw: str) -> Image.Image:
    """Return the image in the file ``content`` with the low bytes of samples stored as ``raw``.

    Greys with transparency become RGBA: high byte, low byte, and the same of the transparency.
    """
    image = Image.open(io.BytesIO(content))
    _set_raw_mode(image, "RGBA" if raw.startswith("LA") else raw[:-1] + _OTHER_ORDER[raw[-1]])
    image.load()
    return image


def _set_raw_mode(image: Any, raw: str) -> None:
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]


def _colours_to_8_bits(
    image: Image.Image, kind: str, low_bytes: Image.Image, pixel_range: PixelRange
) -> tuple[Image.Image, UsedRange]:
    """Return colours of 16 bits with 8 bits; all colours of an image have the same range."""
    extrema = [(v.min(), v.max()) for _, v in _colour_strips(image, kind, low_bytes)]
    used = used_range(pixel_range, int(np.min(extrema)), int(np.max(extrema)))
    width, height = image.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top, values in _colour_strips(image, kind, low_bytes):
        pixels[top : top + len(values)] = used.to_8_bits(values)
    result = Image.fromarray(pixels)
    if "A" in image.getbands():
        result.putalpha(image.getchannel("A"))
    return result, used


def _colour_strips(
    image: Image.Image, kind: str, low_bytes: Image.Image
) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """Yield (first row, values (H, W, 3 or 1)) of strips, from the high and the low bytes."""
    is_grey = kind == "LA"
    high_bands, low_bands = (slice(0, 1), slice(1, 2)) if is_grey else (slice(3), slice(3))
    for top, bottom in strips(*image.size):
        box = (0, top, image.width, bottom)
        high = np.asarray(image.crop(box))[..., high_bands].astype(np.uint16)
        yield top, high * 256 + np.asarray(low_bytes.crop(box))[..., low_bands]
