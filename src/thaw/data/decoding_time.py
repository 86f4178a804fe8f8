"""Refuse small files that take many seconds to decode; nothing is decoded to find that out.

Three formats allow it: JPEG may pass over all pixels in any number of scans, the strips of a TIFF
file may share their bytes, and Pillow decodes run-length encoded BMP files in Python.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from PIL import BmpImagePlugin, JpegImagePlugin, TiffImagePlugin

from thaw.data.jpeg_scans import SCAN, has_more_scans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

# Usual progressive files have 10 to 15. libtiff allows 100 in its strips, too.
_MOST_SCANS = 100
# A scan of arithmetic coding may decode any number of coefficients from no bytes.
_MOST_ARITHMETIC_SCANS = 20
# ITU-T T.81, table B.1. After 0xFF: 0 for a byte of a scan; 1 and 0xD0 to 0xD8 have no length
_END = 0xD9
_ARITHMETIC = {0xC9, 0xCA, 0xCB}
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")

_BYTE_COUNTS = (279, 325)  # TIFF 6.0: StripByteCounts; TileByteCounts
_MOST_SHARED = 10  # bytes of all strips per byte of the file
_MOST_RUN_LENGTH = 40e6  # pixels, about 4 seconds


def time_problem(image: Image.Image, content: bytes) -> str | None:
    """Return why an opened image takes too long to decode; None if it does not.

    ``content`` is its file.
    """
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return _problem_of_scans(content)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _problem_of_strips(image, len(content))
    is_run_length = any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", []))
    if (
        isinstance(image, BmpImagePlugin.BmpImageFile)
        and is_run_length
        and image.width * image.height > _MOST_RUN_LENGTH
    ):
        return (
            f"{image.width} x {image.height} pixels in a run-length encoded BMP file take too long "
            f"to decode, and the limit is {_MOST_RUN_LENGTH / 1e6:.0f} megapixels: "
            "convert it to PNG"
        )
    return None


def _problem_of_scans(content: bytes) -> str | None:
    if not has_more_scans(content, _MOST_ARITHMETIC_SCANS):
        return None
    markers = list(_markers(content))
    most = _MOST_ARITHMETIC_SCANS if _ARITHMETIC.intersection(markers) else _MOST_SCANS
    if markers.count(SCAN[1]) <= most:
        return None
    return (
        f"a JPEG file of more than {most} scans takes too long to decode: save the image again, "
        "not as progressive JPEG"
    )


def _markers(content: bytes) -> Iterator[int]:
    """Yield the second byte of each marker of a JPEG file whose segment has a length."""
    place = 2
    while found := _MARKER.search(content, place):
        marker = found[0][-1]
        if marker == _END:
            return
        yield marker
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2])


def _problem_of_strips(image: TiffImagePlugin.TiffImageFile, length: int) -> str | None:
    tags: Any = image.tag_v2
    counts = [tags.get(tag, ()) for tag in _BYTE_COUNTS]
    together = sum(min(int(count), length) for several in counts for count in _as_tuple(several))
    if together <= _MOST_SHARED * length:
        return None
    return (
        f"its strips or tiles have {together:,} bytes together in a file of {length:,} bytes: "
        "save the image again"
    )


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """Return the values of a tag; some tags have a single one."""
    return value if isinstance(value, tuple) else (value,)
