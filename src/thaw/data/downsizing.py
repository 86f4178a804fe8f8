"""Turn a decoded image upright, convert it to RGB, and downsize it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.data.colours import conversion_of, has_equal_channels, to_rgb
from thaw.data.limits import STRIP_PIXELS, strips
from thaw.data.orientation import upright_rows, upright_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.data.orientation import Transpose


def upright_pixels(
    image: Image.Image, operation: Transpose | None, short_side: int
) -> NDArray[np.uint8]:
    """Return the upright RGB pixels, (H, W, 3), of a decoded ``image``.

    It is downsized if its shorter side is larger than ``short_side``.

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
    # Each row is resized on its own: strips give the same bits as the whole image.
    narrow = Image.new("L" if has_equal_channels(image) else "RGB", (size[0], height))
    for top, bottom in strips(width, height, STRIP_PIXELS):
        rows = to_rgb(upright_rows(image, operation, top, bottom))
        rows = rows.getchannel("R") if narrow.mode == "L" else rows
        narrow.paste(_resized_along(rows, size[0]), (0, top))
    return to_rgb(narrow.resize(size, Image.Resampling.BICUBIC))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return ``image`` resized along its rows, then along its columns.

    Versions of Pillow differ in the order of the two passes; each pass is rounded to 8 bits.
    """
    return _resized_along(image, size[0]).resize(size, Image.Resampling.BICUBIC)


def _resized_along(rows: Image.Image, width: int) -> Image.Image:
    """Return ``rows`` with the new ``width``."""
    return rows.resize((width, rows.height), Image.Resampling.BICUBIC)
