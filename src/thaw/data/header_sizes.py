"""The size of images from their first bytes, before Pillow opens them.

When Pillow opens a file, it allocates the pixels of WebP and GIF and the texts of PNG.
"""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

# PNG specification, sections 5.2 and 11.2.1
_PNG, _PNG_HEADER = b"\x89PNG\r\n\x1a\n", 24  # bytes, up to the height

# WebP container specification and RFC 6386 (VP8), RFC 9649 (VP8L)
_VP8, _VP8L, _VP8X = b"VP8 ", b"VP8L", b"VP8X"
_14_BITS = 0x3FFF
# GIF89a, sections 18 to 24
_GIF_HEADER = 13  # bytes, with the logical screen descriptor
_EXTENSION, _FRAME, _END = 0x21, 0x2C, 0x3B
_START = 1024  # bytes of a file that contain these headers
_LAZY = ("JPEG", "BMP", "TIFF")  # formats of which Pillow reads headers only


def size_of_file(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image file; only headers are read. Its pixels are not checked.

    Raises:
        OSError: the file cannot be read, or is no image.
        ValueError: the header is damaged.
        PIL.Image.DecompressionBombError: it has more pixels than Pillow opens.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    if size := webp_size(start) or gif_size(start) or _png_size(start):
        return size
    with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_LAZY) as image:
        return image.size


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) of the canvas of a WebP file; None for other and damaged files."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return None
    kind = content[12:16]
    if kind == _VP8 and content[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & _14_BITS, height & _14_BITS
    if kind == _VP8L and content[20] == 0x2F:
        bits = int.from_bytes(content[21:25], "little")
        return (bits & _14_BITS) + 1, (bits >> 14 & _14_BITS) + 1
    if kind == _VP8X:
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    return None


def gif_size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) that contain a GIF's screen and its first frame; None if unknown."""
    if content[:6] not in {b"GIF87a", b"GIF89a"} or len(content) < _GIF_HEADER:
        return None
    width, height = struct.unpack_from("<HH", content, 6)
    place = _first_frame(content)
    if place is None or place + 9 > len(content):
        return width, height
    left, top, across, down = struct.unpack_from("<HHHH", content, place + 1)
    return max(width, left + across), max(height, top + down)


def _png_size(content: bytes) -> tuple[int, int] | None:
    if not content.startswith(_PNG) or len(content) < _PNG_HEADER:
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _first_frame(content: bytes) -> int | None:
    """Return the place of a GIF's first image descriptor; None without one."""
    flags = content[10]
    place = _GIF_HEADER + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while place < len(content) and content[place] != _END:
        if content[place] == _FRAME:
            return place
        if content[place] != _EXTENSION:  # Pillow ignores such bytes
            place += 1
            continue
        place += 2
        while place < len(content) and content[place]:
            place += content[place] + 1
        place += 1
    return None
