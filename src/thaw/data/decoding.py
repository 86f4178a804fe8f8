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

if TYPE_CHECKING:
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
        DecodeError: not an image, truncated, or larger than ``max_megapixels`` by its header.
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
    except Exception as error:
        raise DecodeError(f"cannot be decoded: {' '.join(str(error).split())}") from None


def _convert(image: Image.Image, short_side: int, max_megapixels: float) -> Decoded:
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise DecodeError(
            f"{width} x {height} pixels, more than prepare.max_megapixels = {max_megapixels:g}: "
            "shrink the image, or raise the limit"
        )
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
    orientation = image.getexif().get(_ORIENTATION)
    if orientation in _TURNS:  # other values mean nothing, and some cameras write 0
        image = image.transpose(_TURNS[orientation])
        conversions.append("rotated as its EXIF tag says")
        if orientation >= 5:  # a quarter turn
            width, height = height, width
    image = _to_rgb(image, conversions)
    if min(image.size) > short_side:
        scale = short_side / min(image.size)
        size = tuple(max(short_side, round(side * scale)) for side in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    return Decoded(np.asarray(image), width, height, tuple(conversions))


def _to_rgb(image: Image.Image, conversions: list[str]) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in {"L", "1"} and not image.has_transparency_data:
        conversions.append("grey to RGB")
    elif image.mode.startswith("I;16") or image.mode == "I":
        # Pillow's own conversion to 8 bits clips at 255: a 16-bit ramp would turn white.
        conversions.append("16 bits to 8 bits")
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((values.clip(0, 65535) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise DecodeError("floating-point pixels have no defined range: save it with 8 or 16 bits")
    elif image.has_transparency_data:
        conversions.append("transparency composited on white")
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    else:
        conversions.append(f"{image.mode} to RGB")
    return image.convert("RGB")
