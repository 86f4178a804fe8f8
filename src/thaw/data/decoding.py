"""Decode image files to 8-bit RGB, by one set of rules for packing and for serving.

Each conversion on the way has a name, so that the stage prepare can count conversions. Files that
cannot be converted are refused.
"""

from __future__ import annotations

import io
import traceback
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from thaw.data import deep_samples
from thaw.data.colours import GREY, ColourError, conversion_of, has_equal_channels, to_rgb
from thaw.data.decoding_budget import MemoryShare
from thaw.data.decoding_errors import incomplete_reason, reason_of
from thaw.data.decoding_memory import (
    memory_needed,
    memory_problem,
    memory_to_open,
    memory_with_result,
)
from thaw.data.file_kinds import reason_not_opened, size_by_header
from thaw.data.header_sizes import gif_size, webp_size
from thaw.data.limits import STRIP_PIXELS, shape_problem, strips
from thaw.data.orientation import operation_of, upright_rows, upright_size
from thaw.data.png_texts import without_texts
from thaw.data.tiff_blocks import block_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.data.orientation import Transpose
    from thaw.data.pixel_range import PixelRange, UsedRange

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


class DecodeError(Exception):
    """The bytes are not a usable image; the message states the reason."""


class TooManyPixelsError(DecodeError):
    """The image is larger than the caller's ``max_megapixels``."""


@dataclass(frozen=True)
class Decoded:
    """A decoded image.

    ``pixels`` are 8-bit RGB, (H, W, 3). ``width`` and ``height`` are those of the upright image
    before any downsizing. ``conversions`` names what was converted. ``used`` is the range of values
    of an image of more than 8 bits per sample; None for others.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    conversions: tuple[str, ...]
    used: UsedRange | None = None


def decode(
    content: bytes, *, short_side: int, max_megapixels: float, pixel_range: PixelRange = "type"
) -> Decoded:
    """Decode, convert to RGB, and downsize to ``short_side`` pixels where the image is larger.

    ``pixel_range`` is the range of values that becomes 0..255 in images of more than 8 bits per
    sample.

    Raises:
        DecodeError: not an image, truncated, by its header larger than ``max_megapixels`` or too
            elongated, or with values outside of ``pixel_range``.
    """
    if not content:
        raise DecodeError("the file is empty")
    memory = MemoryShare()
    try:
        # Pillow warns from 89 megapixels on. Here the caller sets the limit, and it is checked. It
        # also warns of damaged metadata, which thaw does not use.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(without_texts(content), short_side, max_megapixels, pixel_range, memory)
    except DecodeError:
        raise
    except MemoryError:  # this error has no text
        raise DecodeError("cannot be decoded: there is not enough memory") from None
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they refer to the image
        if isinstance(error, ColourError):
            raise DecodeError(str(error)) from None
        raise DecodeError(f"cannot be decoded: {reason_of(error)}") from None
    finally:
        memory.release()


def _decoded(
    content: bytes,
    short_side: int,
    max_megapixels: float,
    pixel_range: PixelRange,
    memory: MemoryShare,
) -> Decoded:
    """Decode ``content`` with ``memory``, which is released after the image is deleted."""
    if (size := webp_size(content) or gif_size(content)) and 0 not in size:
        _check_size(*size, max_megapixels)
        needed = max(memory_to_open(content), memory_with_result(size, "P", short_side))
        if problem := memory_problem(needed, size, content):
            raise DecodeError(problem)
        memory.take(needed)
    image = _open(content, max_megapixels)
    return _convert(image, content, short_side, pixel_range, memory)


def _open(content: bytes, max_megapixels: float) -> Image.Image:
    """Return the image in ``content``, not yet decoded.

    Raises:
        DecodeError: it is not an image, or refused because of its size.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise DecodeError(reason_not_opened(content, FORMATS)) from None
    except Image.DecompressionBombError as error:  # Pillow's own limit, above all of ours
        if size := size_by_header(content, FORMATS):
            _check_size(*size, max_megapixels)
        raise DecodeError(f"cannot be decoded: {reason_of(error)}") from None
    _check_size(*image.size, max_megapixels)
    return image


def _convert(
    image: Image.Image,
    content: bytes,
    short_side: int,
    pixel_range: PixelRange,
    memory: MemoryShare,
) -> Decoded:
    """Return the decoded, upright, downsized RGB image that was opened from ``content``."""
    size = image.size
    conversions = []
    # Pillow's `n_frames` would read all frames of a GIF or TIFF.
    if getattr(image, "is_animated", False):
        conversions.append("several frames: the first one taken")
    if image.format in {"JPEG", "MPO"}:  # MPO: a phone's JPEG that contains a second image
        # Decode at 1/2, 1/4 or 1/8 of the size, never below the wanted size: 3 times faster.
        scale = short_side / min(size)
        if scale < 1:
            image.draft(None, (round(size[0] * scale) + 1, round(size[1] * scale) + 1))
    if pixel_range != "clip":
        deep_samples.correct_byte_order(image)
    raw = deep_samples.raw_mode(image)
    all_bits = pixel_range not in {"type", "clip"} and deep_samples.has_deep_colours(image, raw)
    needed = max(
        memory_needed(image, size, content, all_bits=all_bits),
        memory_with_result(image.size, image.mode, short_side),
    )
    if problem := memory_problem(needed, size, content, block_of(image)):
        if reason := incomplete_reason(image, content):
            problem = f"cannot be decoded: {reason}"
        raise DecodeError(problem)
    memory.take(needed)
    image.load()
    operation = operation_of(image)
    if operation is not None:
        conversions.append("rotated as its EXIF tag says")
    used = None
    if conversion := deep_samples.conversion_of(image, raw):
        conversions.append(conversion)
        image, used = deep_samples.to_8_bits(image, raw, content, pixel_range)
    if (conversion := conversion_of(image)) and not (used and conversion == GREY):
        conversions.append(conversion)
    width, height = upright_size(size, operation)
    pixels = _pixels(image, operation, short_side)
    return Decoded(pixels, width, height, tuple(conversions), used)


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    """Raise DecodeError if an image of this size is refused."""
    if problem := shape_problem(width, height):
        raise DecodeError(problem)
    if width * height > max_megapixels * 1e6:
        raise TooManyPixelsError(
            f"{width} x {height} pixels, more than max_megapixels = {max_megapixels:g}: "
            "shrink the image"
        )


def _pixels(image: Image.Image, operation: Transpose | None, short_side: int) -> NDArray[np.uint8]:
    """Return the upright RGB pixels, downsized where the image is larger than ``short_side``.

    The image is turned and converted in strips: no second array of its size is allocated.
    """
    width, height = upright_size(image.size, operation)
    if min(width, height) > short_side:
        scale = short_side / min(width, height)
        size = max(short_side, round(width * scale)), max(short_side, round(height * scale))
        return np.asarray(_downsized(image, operation, size))
    if operation is None and width * height <= STRIP_PIXELS:
        return np.asarray(to_rgb(image))
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top, bottom in strips(width, height, STRIP_PIXELS):
        pixels[top:bottom] = np.asarray(to_rgb(upright_rows(image, operation, top, bottom)))
    return pixels


def _downsized(
    image: Image.Image, operation: Transpose | None, size: tuple[int, int]
) -> Image.Image:
    """Return the upright RGB image, resized to ``size`` (width, height)."""
    width, height = upright_size(image.size, operation)
    is_stored_so = operation is None and conversion_of(image) is None
    if width * height <= STRIP_PIXELS or is_stored_so:
        whole = to_rgb(upright_rows(image, operation, 0, height))
        return _resized(whole, size)
    # Pillow resizes each channel on its own. Resizing one channel at a time gives the same bits.
    names = "R" if has_equal_channels(image) else "RGB"
    channels = [_resized(_channel(image, operation, name), size) for name in names]
    return Image.merge("RGB", channels * (3 // len(channels)))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return ``image`` resized along its rows, then along its columns.

    Versions of Pillow differ in the order of the two passes; each pass is rounded to 8 bits.
    """
    rows = image.resize((size[0], image.height), Image.Resampling.BICUBIC)
    return rows.resize(size, Image.Resampling.BICUBIC)


def _channel(image: Image.Image, operation: Transpose | None, name: str) -> Image.Image:
    """Return one channel of the upright RGB image."""
    size = upright_size(image.size, operation)
    channel = Image.new("L", size)
    for top, bottom in strips(*size, STRIP_PIXELS):
        rows = to_rgb(upright_rows(image, operation, top, bottom))
        channel.paste(rows.getchannel(name), (0, top))
    return channel
