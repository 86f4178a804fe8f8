"""Image bytes -> pixels, by one set of rules for packing and for serving.

Every file ends as 8-bit RGB. What had to be converted on the way is named, so
that ``prepare`` can count it; what cannot be converted is refused.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from thaw.data.limits import STRIP_PIXELS, shape_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY, _16_BITS = "grey to RGB", "16 bits to 8 bits"
_Turn = Image.Transpose
_QUARTER_TURNS = {_TURNS[value] for value in (5, 6, 7, 8)}
_FROM_THE_END = {
    _TURNS[value] for value in (3, 4, 7, 8)
}  # the first row was the last row or column


class DecodeError(Exception):
    """The bytes are no image that can be used; the message says why."""


@dataclass(frozen=True)
class Decoded:
    """8-bit RGB ``pixels`` (H, W, 3); ``width`` and ``height`` before any downsizing."""

    pixels: NDArray[np.uint8]
    width: int
    height: int
    conversions: tuple[str, ...]


def decode(content: bytes, *, short_side: int, max_megapixels: float) -> Decoded:
    """Decode, convert to RGB, and downsize to ``short_side`` pixels where the image is larger.

    Raises:
        DecodeError: not an image, truncated, or by its header larger than ``max_megapixels`` or
            of a shape that is refused.
    """
    if not content:
        raise DecodeError("the file is empty")
    try:
        # Pillow warns from 89 megapixels on; the limit here is the caller's, and it is checked.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            return _convert(image, short_side, max_megapixels)
    except DecodeError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, above any of ours
        raise DecodeError(
            f"more than prepare.max_megapixels = {max_megapixels:g}: shrink the image"
        ) from None
    except UnidentifiedImageError:
        raise DecodeError(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except MemoryError:  # it has no text
        raise DecodeError("cannot be decoded: there is not enough memory") from None
    except Exception as error:
        raise DecodeError(f"cannot be decoded: {' '.join(str(error).split())}") from None


def _convert(image: Image.Image, short_side: int, max_megapixels: float) -> Decoded:
    width, height = image.size
    _check(width, height, max_megapixels)
    conversions = []
    # to count the frames of a GIF or TIFF, Pillow would walk through all of them
    if getattr(image, "is_animated", False):
        conversions.append("several frames: the first one taken")
    if image.format in {"JPEG", "MPO"}:  # MPO: a phone's JPEG with a second picture in it
        # Decodes at 1/2, 1/4 or 1/8 of the size, never below what is asked for: 3 times faster.
        scale = short_side / min(width, height)
        if scale < 1:
            image.draft(None, (round(width * scale) + 1, round(height * scale) + 1))
    image.load()
    # other values mean nothing, and some cameras write 0
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 0))
    if turn is not None:
        conversions.append("rotated as its EXIF tag says")
    if turn in _QUARTER_TURNS:
        width, height = height, width
    change = _change(image)
    if change:
        conversions.append(change)
    return Decoded(_pixels(image, turn, short_side), width, height, tuple(conversions))


def _check(width: int, height: int, max_megapixels: float) -> None:
    """Raise DecodeError if an image of this size is refused."""
    if width * height > max_megapixels * 1e6:
        raise DecodeError(
            f"{width} x {height} pixels, more than prepare.max_megapixels = {max_megapixels:g}: "
            "shrink the image, or raise the limit"
        )
    if problem := shape_problem(width, height):
        raise DecodeError(problem)


def _pixels(image: Image.Image, turn: _Turn | None, short_side: int) -> NDArray[np.uint8]:
    """Return the upright RGB pixels, downsized where the image is larger than ``short_side``.

    Beside the decoded image nothing of its size is made: it is turned and converted in strips.
    """
    width, height = image.size if turn not in _QUARTER_TURNS else image.size[::-1]
    if min(width, height) > short_side:
        scale = short_side / min(width, height)
        size = max(short_side, round(width * scale)), max(short_side, round(height * scale))
        return np.asarray(_downsized(image, turn, (width, height), size))
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top, bottom in _strips(width, height):
        pixels[top:bottom] = np.asarray(_rows(image, turn, top, bottom))
    return pixels


def _downsized(
    image: Image.Image, turn: _Turn | None, before: tuple[int, int], after: tuple[int, int]
) -> Image.Image:
    """Return the upright RGB image of size ``before`` resized to ``after``."""
    change = _change(image)
    if before[0] * before[1] <= STRIP_PIXELS or (turn is None and change is None):
        return _rows(image, turn, 0, before[1]).resize(after, Image.Resampling.BICUBIC)
    # Pillow resizes each channel by itself, so that one by one gives the same bits.
    names = "R" if change in {_GREY, _16_BITS} else "RGB"
    channels = [
        _channel(image, turn, before, name).resize(after, Image.Resampling.BICUBIC)
        for name in names
    ]
    return Image.merge("RGB", channels * (3 // len(channels)))


def _channel(
    image: Image.Image, turn: _Turn | None, size: tuple[int, int], name: str
) -> Image.Image:
    """Return one channel of the upright RGB image, which has ``size``."""
    channel = Image.new("L", size)
    for top, bottom in _strips(*size):
        channel.paste(_rows(image, turn, top, bottom).getchannel(name), (0, top))
    return channel


def _strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row, exclusive, of strips of at most ``STRIP_PIXELS`` pixels."""
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        yield top, min(height, top + step)


def _rows(image: Image.Image, turn: _Turn | None, top: int, bottom: int) -> Image.Image:
    """Return the rows ``top`` to ``bottom`` of the upright image, in RGB."""
    along = 0 if turn in _QUARTER_TURNS else 1  # the stored axis that becomes the rows
    side = image.size[along]
    if (top, bottom) != (0, side):
        first, last = (side - bottom, side - top) if turn in _FROM_THE_END else (top, bottom)
        width, height = image.size
        image = image.crop((first, 0, last, height) if along == 0 else (0, first, width, last))
    return _to_rgb(image if turn is None else image.transpose(turn))


def _change(image: Image.Image) -> str | None:
    """Return what :func:`_to_rgb` does to the colours, or None where they are RGB.

    Raises:
        DecodeError: there is no rule for such pixels.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return None
    if image.mode in {"L", "1"} and not image.has_transparency_data:
        return _GREY
    if _has_16_bits(image):
        return _16_BITS
    if image.mode == "F":
        raise DecodeError("floating-point pixels have no defined range: save it with 8 or 16 bits")
    if image.has_transparency_data:
        return "transparency composited on white"
    return f"{image.mode} to RGB"


def _has_16_bits(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or image.mode == "I"


def _to_rgb(image: Image.Image) -> Image.Image:
    if _change(image) is None:
        return image
    if _has_16_bits(image):
        # Pillow's own conversion to 8 bits clips at 255: a 16-bit ramp would turn white.
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((values.clip(0, 65535) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")
