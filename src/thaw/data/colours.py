"""Colours: convert every mode of Pillow to 8-bit RGB by one set of rules."""

from __future__ import annotations

import numpy as np
from PIL import Image

_GREY = "grey to RGB"
_SIXTEEN_BITS = "16 bits to 8 bits"
_TRANSPARENCY = "transparency composited on white"


class ColourError(Exception):
    """No rule converts these pixels to 8-bit RGB; the message states what to do."""


def conversion_of(image: Image.Image) -> str | None:
    """Return the name of the conversion that :func:`to_rgb` makes; None if ``image`` is RGB.

    Raises:
        ColourError: no rule converts such pixels.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return None
    if image.mode in {"L", "1"} and not image.has_transparency_data:
        return _GREY
    if _has_16_bits(image):
        return _SIXTEEN_BITS
    if image.mode == "F":
        raise ColourError(
            "floating-point pixels have no defined range: save the image with 8 or 16 bits"
        )
    if image.has_transparency_data:
        return _TRANSPARENCY
    return f"{image.mode} to RGB"


def has_equal_channels(image: Image.Image) -> bool:
    """Return whether the three RGB channels of ``image`` are equal.

    Raises:
        ColourError: no rule converts such pixels.
    """
    return conversion_of(image) in {_GREY, _SIXTEEN_BITS}


def to_rgb(image: Image.Image) -> Image.Image:
    """Return ``image`` as 8-bit RGB.

    Raises:
        ColourError: no rule converts such pixels.
    """
    if conversion_of(image) is None:
        return image
    if _has_16_bits(image):
        # Pillow's own conversion to 8 bits clips at 255: a 16-bit ramp would turn white.
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((values.clip(0, 65535) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def _has_16_bits(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or image.mode == "I"
