"""The strips and tiles of a TIFF file: libtiff decodes each into memory beside the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import TiffImagePlugin

if TYPE_CHECKING:
    from PIL import Image

# TIFF 6.0, sections 8, 10, 14, 15, 21
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANAR = 258, 259, 262, 277, 278, 284
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_SEPARATE_PLANES, _YCBCR = 2, 6
# Compressions whose decoders need little memory of their own: none, CCITT, LZW, PackBits, Deflate
_SIMPLE = {1, 2, 3, 4, 5, 8, 32773, 32946}
# Of LZMA and zstd: a dictionary of up to the size of the block. Of progressive JPEG: coefficients.
_SIZES_OF_OTHERS = 3
_RGBA = 4  # bytes per pixel of the copy that libtiff makes of YCbCr


@dataclass(frozen=True)
class Block:
    """The largest strip or tile: its name, width and height, and the bytes that decoding takes."""

    kind: str
    width: int
    height: int
    needed: float

    def __str__(self) -> str:
        return f"a {self.kind} of {self.width} x {self.height} pixels"


def block_of(image: Image.Image) -> Block | None:
    """Return the strip or tile that is decoded beside the pixels of ``image``.

    None for images that are not decoded by libtiff. A tile may be larger than its image.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    if not any(tile[0] == "libtiff" for tile in image.tile):
        return None
    tags: Any = image.tag_v2
    kind, width, height = "strip", image.width, _number(tags, _ROWS, image.height)
    height = min(height, image.height)
    if _TILE_WIDTH in tags:
        kind, width, height = "tile", _number(tags, _TILE_WIDTH), _number(tags, _TILE_LENGTH)
    needed = float(width) * height * _bytes_per_pixel(tags, len(image.getbands()))
    return Block(kind, width, height, needed)


def _bytes_per_pixel(tags: Any, bands: int) -> float:
    bits = tags.get(_BITS, (1,))
    samples = max(_number(tags, _SAMPLES), len(bits), bands)
    if _number(tags, _PLANAR) == _SEPARATE_PLANES:
        samples = 1
    needed: float = samples * max(bits) / 8
    if _number(tags, _COMPRESSION) not in _SIMPLE:
        needed *= _SIZES_OF_OTHERS
    return needed + (_RGBA if _number(tags, _PHOTOMETRIC, 0) == _YCBCR else 0)


def _number(tags: Any, tag: int, default: int = 1) -> int:
    """Return the first value of a tag; odd files have several."""
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)
