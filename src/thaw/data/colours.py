"""Colours: convert every mode of Pillow with 8 bits per sample to RGB by one set of rules."""

from __future__ import annotations

from PIL import Image

GREY = "grey to RGB"
_TRANSPARENCY = "transparency composited on white"


def conversion_of(image: Image.Image) -> str | None:
    """Return the name of the conversion that :func:`to_rgb` makes; None if ``image`` is RGB."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return None
    if image.mode in {"L", "1"} and not image.has_transparency_data:
        return GREY
    if image.has_transparency_data:
        return _TRANSPARENCY
    return f"{image.mode} to RGB"


def has_equal_channels(image: Image.Image) -> bool:
    """Return whether the three RGB channels of ``image`` are equal."""
    return conversion_of(image) == GREY


def to_rgb(image: Image.Image) -> Image.Image:
    """Return ``image`` as 8-bit RGB."""
    if conversion_of(image) is None:
        return image
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")
