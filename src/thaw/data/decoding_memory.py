"""The memory that decoding an image takes, estimated from its header, and its limit.

A file of some kilobytes can hold a hundred megapixels of one colour. Large photographs need much
memory as well, but their files are large: the limit grows with the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import JpegImagePlugin, TiffImagePlugin, WebPImagePlugin

if TYPE_CHECKING:
    from PIL import Image

# Bytes per pixel by mode: the rise of the resident memory while `decode` runs, with Pillow 13.
_BY_MODE = {"1": 2.4, "L": 2.4, "P": 2.7, "RGB": 4.3, "CMYK": 5.6, "I": 6.5, "F": 6.5}
_OF_16_BITS = 4.5
_OF_OTHERS = 6.0
_OF_WEBP = 16.1  # its decoder keeps several frames
_OF_LOW_BYTES = 11.0  # to keep all 16 bits of colours, the file is decoded twice
_OF_COEFFICIENT = 2.1
_SCAN = b"\xff\xda"  # marker of a scan in a JPEG file
_BITS, _TILE_WIDTH, _TILE_LENGTH = 258, 322, 323  # TIFF 6.0, sections 8 and 15

_ANY_FILE = 200e6  # bytes that the smallest file may take
_PER_BYTE = 100  # bytes per byte of the file


def memory_problem(
    image: Image.Image, size: tuple[int, int], content: bytes, *, all_bits: bool
) -> str | None:
    """Return why decoding an opened image takes too much memory; None if it does not.

    ``size`` (width, height) is that in the file ``content``, which JPEG may scale down while it
    decodes. ``all_bits``: colours of 16 bits are read with all bits.
    """
    width, height = size
    per_pixel = _bytes_per_pixel(image) + (_OF_LOW_BYTES if all_bits else 0)
    needed = image.width * image.height * per_pixel
    if isinstance(image, JpegImagePlugin.JpegImageFile) and _has_several_scans(image, content):
        # libjpeg keeps the coefficients of the whole image.
        needed += width * height * _coefficients_per_pixel(image) * _OF_COEFFICIENT
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        needed = max(needed, _bytes_of_tile(image))
    if needed <= max(_ANY_FILE, _PER_BYTE * len(content)):
        return None
    return (
        f"{width} x {height} pixels in a file of {len(content):,} bytes take {needed / 1e6:.0f} MB "
        f"to decode, and the limit is {_ANY_FILE / 1e6:.0f} MB or {_PER_BYTE} times the file: "
        "shrink the image"
    )


def _bytes_per_pixel(image: Image.Image) -> float:
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        return _OF_WEBP
    if image.mode.startswith("I;16"):
        return _OF_16_BITS
    return _BY_MODE.get(image.mode, _OF_OTHERS)


def _has_several_scans(image: JpegImagePlugin.JpegImageFile, content: bytes) -> bool:
    return "progressive" in image.info or content.count(_SCAN) > 1


def _coefficients_per_pixel(image: JpegImagePlugin.JpegImageFile) -> float:
    """Return the samples of all components per pixel: 3 without, 1.5 with usual subsampling."""
    factors = [(int(across), int(down)) for _, across, down, *_ in image.layer]
    samples = sum(across * down for across, down in factors)
    most = max(across for across, _ in factors) * max(down for _, down in factors)
    return samples / max(1, most)


def _bytes_of_tile(image: TiffImagePlugin.TiffImageFile) -> float:
    """Return the size of a decoded tile of a TIFF; it may be larger than the image."""
    tags: Any = image.tag_v2
    pixels = float(tags.get(_TILE_WIDTH, 0)) * float(tags.get(_TILE_LENGTH, 0))
    return float(pixels * sum(tags.get(_BITS, (8,))) / 8)
