"""Decode image files to 8-bit RGB, by one set of rules for packing and for serving.

Each conversion on the way has a name, so that the stage prepare can count conversions. Files that
cannot be converted are refused.
"""

from __future__ import annotations

import io
import traceback
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, UnidentifiedImageError

from thaw.data import bit_depth
from thaw.data.colour_profiles import READ_AS_SRGB, has_other_profile
from thaw.data.colours import GREY, conversion_of
from thaw.data.decode_error import DecodeError
from thaw.data.decoding_budget import MemoryShare
from thaw.data.decoding_errors import incomplete_reason, reason_of
from thaw.data.decoding_memory import (
    memory_needed,
    memory_problem,
    memory_to_open,
    memory_with_result,
)
from thaw.data.decoding_time import time_problem
from thaw.data.downsizing import upright_pixels
from thaw.data.file_kinds import reason_not_opened, size_by_header
from thaw.data.header_sizes import gif_size, webp_size
from thaw.data.limits import shape_problem
from thaw.data.orientation import operation_of, upright_size
from thaw.data.png_texts import without_texts
from thaw.data.raw_photos import raw_photo_problem
from thaw.data.tiff_blocks import block_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.data.pixel_range import PixelRange, UsedRange
    from thaw.literals import JpegPixels

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


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
    content: bytes,
    *,
    short_side: int,
    max_megapixels: float,
    pixel_range: PixelRange = "type",
    jpeg_pixels: JpegPixels = "reduced",
) -> Decoded:
    """Decode, convert to RGB, and downsize to ``short_side`` pixels where the image is larger.

    ``pixel_range`` is the range of values that becomes 0..255 in images of more than 8 bits per
    sample. With ``jpeg_pixels`` reduced, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, never
    below ``short_side``. This is 2 to 7 times faster, but the result differs from that of all
    pixels by more than rounding.

    Raises:
        DecodeError: not an image, truncated, by its header larger than ``max_megapixels`` or too
            elongated, or with values outside of ``pixel_range``.
    """
    if not content:
        raise DecodeError("the file is empty")
    rules = _Rules(short_side, max_megapixels, pixel_range, jpeg_pixels)
    memory = MemoryShare()
    try:
        # Pillow warns from 89 megapixels on. Here the caller sets the limit, and it is checked. It
        # also warns of damaged metadata, which thaw does not use.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(without_texts(content), rules, memory)
    except DecodeError as error:
        traceback.clear_frames(error.__traceback__)  # they refer to the image
        raise
    except MemoryError:  # this error has no text
        raise DecodeError("cannot be decoded: there is not enough memory") from None
    except Exception as error:
        traceback.clear_frames(error.__traceback__)
        raise DecodeError(f"cannot be decoded: {reason_of(error)}") from None
    finally:
        memory.release()


class _Rules(NamedTuple):
    """The arguments of :func:`decode` besides the content."""

    short_side: int
    max_megapixels: float
    pixel_range: PixelRange
    jpeg_pixels: JpegPixels


def _decoded(content: bytes, rules: _Rules, memory: MemoryShare) -> Decoded:
    """Decode ``content`` with ``memory``, which is released after the image is deleted."""
    if (size := webp_size(content) or gif_size(content)) and 0 not in size:
        _check_size(*size, rules.max_megapixels)
        needed = max(memory_to_open(content), memory_with_result(size, "P", rules.short_side))
        if problem := memory_problem(needed, size, content):
            raise DecodeError(problem)
        memory.take(needed)
    image = _open(content, rules.max_megapixels)
    return _convert(image, content, rules, memory)


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


def _convert(image: Image.Image, content: bytes, rules: _Rules, memory: MemoryShare) -> Decoded:
    """Return the decoded, upright, downsized RGB image that was opened from ``content``."""
    size, short_side, pixel_range = image.size, rules.short_side, rules.pixel_range
    conversions = []
    # Pillow's `n_frames` would read all frames of a GIF or TIFF.
    if getattr(image, "is_animated", False):
        conversions.append("several frames: the first one taken")
    if rules.jpeg_pixels == "reduced":
        _reduce_jpeg(image, short_side)
    if pixel_range != "clip":
        if problem := raw_photo_problem(image, content):
            raise DecodeError(problem)
        bit_depth.refuse_signed_bytes(image)
        bit_depth.correct_byte_order(image)
    raw = bit_depth.raw_mode(image)
    all_bits = pixel_range not in {"type", "clip"} and bit_depth.has_deep_colours(image, raw)
    needed = max(
        memory_needed(image, size, content, all_bits=all_bits),
        memory_with_result(image.size, image.mode, short_side),
    )
    _refuse_cost(image, size, content, needed)
    memory.take(needed)
    image.load()
    if has_other_profile(image):
        conversions.append(READ_AS_SRGB)
    if pixel_range != "clip" and bit_depth.drop_transparent_colour(image, raw):
        conversions.append("a transparent colour of 16 bits shown as it is")
    operation = operation_of(image)
    if operation is not None:
        conversions.append("rotated as its EXIF tag says")
    used = None
    if conversion := bit_depth.conversion_of(image, raw):
        conversions.append(conversion)
        image, used = bit_depth.to_8_bits(image, raw, content, pixel_range)
    if (conversion := conversion_of(image)) and not (used and conversion == GREY):
        conversions.append(conversion)
    width, height = upright_size(size, operation)
    pixels = upright_pixels(image, operation, short_side)
    return Decoded(pixels, width, height, tuple(conversions), used)


def _reduce_jpeg(image: Image.Image, short_side: int) -> None:
    """Let a JPEG be decoded at a part of its size, where that is not below ``short_side``."""
    scale = short_side / min(image.size)
    # MPO: a phone's JPEG that contains a second image.
    if image.format in {"JPEG", "MPO"} and scale < 1:
        width, height = image.size
        image.draft(None, (round(width * scale) + 1, round(height * scale) + 1))


def _refuse_cost(image: Image.Image, size: tuple[int, int], content: bytes, needed: float) -> None:
    """Refuse ``image`` if decoding it takes too much memory or time.

    ``size`` is that in the file ``content``, ``needed`` the bytes of memory.

    Raises:
        DecodeError: states the reason.
    """
    if problem := memory_problem(needed, size, content, block_of(image)):
        if reason := incomplete_reason(image, content):
            problem = f"cannot be decoded: {reason}"
        raise DecodeError(problem)
    if problem := time_problem(image, content):
        raise DecodeError(problem)


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    """Raise DecodeError if an image of this size is refused."""
    if problem := shape_problem(width, height):
        raise DecodeError(problem)
    if width * height > max_megapixels * 1e6:
        raise DecodeError(
            f"{width} x {height} pixels, more than the limit of {max_megapixels:g} megapixels",
            remedy="shrink the image",
            setting="raise prepare.max_megapixels",
        )
