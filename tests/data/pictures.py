"""Encoded images of every kind that decoding converts, the same bits on every machine."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORIENTATION = 0x0112  # the EXIF tag


def noise(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Return random pixels that depend on the shape only."""
    generator = np.random.default_rng([height, width, channels])
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(
    kind: str,
    mode: str,
    shape: tuple[int, int],
    orientation: int = 0,
    transparency: int | None = None,
) -> bytes:
    """Return an image file of noise; ``orientation`` 0 writes no EXIF tag."""
    options: dict[str, Any] = {}
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][ORIENTATION] = orientation
    if transparency is not None:
        options["transparency"] = transparency
    stream = io.BytesIO()
    _image(mode, *shape).save(stream, kind, **options)
    return stream.getvalue()


def plain(kind: str, mode: str, width: int, height: int, **options: Any) -> bytes:
    """Return an image file of one colour: few bytes for many pixels."""
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, kind, **options)
    return stream.getvalue()


def _image(mode: str, height: int, width: int) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(noise(height, width, 2).view(np.uint16)[..., 0])
    if mode in {"1", "P"}:
        image = Image.fromarray(noise(height, width, 1)[..., 0]).convert(
            mode, dither=Image.Dither.NONE
        )
        if mode == "P":
            image.putpalette(noise(1, 256, 3).tobytes())
        return image
    channels = len(Image.new(mode, (1, 1)).getbands())
    planes = np.moveaxis(noise(height, width, channels), -1, 0)
    return Image.merge(mode, [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes])
