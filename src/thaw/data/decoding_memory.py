"""The memory that decoding an image takes, estimated from its header, and its limit.

A file of some kilobytes can hold a hundred megapixels of one colour. Large photographs need much
memory as well, but their files are large: the limit grows with the file, up to 600 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import JpegImagePlugin, WebPImagePlugin

from thaw.data.header_sizes import gif_size, webp_size
from thaw.data.jpeg_scans import has_more_scans
from thaw.data.tiff_blocks import block_of

if TYPE_CHECKING:
    from PIL import Image

    from thaw.data.tiff_blocks import Block

# Bytes per pixel by mode: the rise of the resident memory while `decode` runs, with Pillow 13.
_BY_MODE = {"1": 2.4, "L": 2.4, "P": 2.7, "RGB": 4.3, "CMYK": 5.6, "I": 6.5, "F": 6.5}
_OF_16_BITS = 4.5
_OF_OTHERS = 6.0
_OF_WEBP = 16.1  # its decoder keeps several frames
_OF_LOW_BYTES = 11.0  # to keep all 16 bits of colours, the file is decoded twice
_OF_COEFFICIENT = 2.1
_FEW = 8e6  # bytes of coefficients
# Bytes per pixel of the image alone; 4 in other modes.
_STORED = {"1": 1.0, "L": 1.0, "P": 1.0, **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), 2.0)}

_ANY_FILE = 200e6  # bytes that the smallest file may take
_PER_BYTE = 100  # bytes per byte of the file
_PER_BYTE_OF_WEBP = 260  # 24 megapixels in 1.5 MB, and 260 MB in 1 MB
_MOST = 600e6  # bytes that any file may take


def memory_with_result(size: tuple[int, int], mode: str, short_side: float) -> float:
    """Return the bytes of an image of ``size`` and of its result, which has ``short_side``.

    The result of a smaller image has its size.
    """
    scale = short_side / min(size)
    # Pillow resizes all rows, then all columns, with 4 bytes per pixel.
    of_result = 3.0 if scale >= 1 else 4 * (scale + scale**2)
    return size[0] * size[1] * (_STORED.get(mode, 4.0) + of_result)


def memory_to_open(content: bytes) -> float:
    """Return the bytes that decoding takes in formats whose pixels are allocated in `Image.open`.

    0 for other formats: `memory_needed` estimates them after opening.
    """
    if size := webp_size(content):
        return size[0] * size[1] * _OF_WEBP
    if size := gif_size(content):
        return size[0] * size[1] * _BY_MODE["L"]
    return 0.0


def memory_needed(
    image: Image.Image, size: tuple[int, int], content: bytes, *, all_bits: bool
) -> float:
    """Return the bytes that decoding an opened image takes.

    ``size`` (width, height) is that in the file ``content``, which JPEG may scale down while it
    decodes. ``all_bits``: colours of 16 bits are read with all bits.
    """
    width, height = size
    per_pixel = _bytes_per_pixel(image) + (_OF_LOW_BYTES if all_bits else 0)
    needed = image.width * image.height * per_pixel
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # With several scans, libjpeg keeps the coefficients of the whole image. To count the scans
        # takes longer than it is worth for a small one.
        coefficients = width * height * _coefficients_per_pixel(image) * _OF_COEFFICIENT
        if coefficients < _FEW or _has_several_scans(image, content):
            needed += coefficients
    if block := block_of(image):
        # It is released before the image is converted.
        stored = image.width * image.height * _STORED.get(image.mode, 4.0)
        needed = max(needed, stored + block.needed)
    return needed


def memory_problem(
    needed: float, size: tuple[int, int], content: bytes, block: Block | None = None
) -> str | None:
    """Return why ``needed`` bytes are too much to decode ``content``; None if they are not.

    ``block`` is the largest strip or tile of the image, if it has such.
    """
    ratio = _PER_BYTE_OF_WEBP if webp_size(content) else _PER_BYTE
    most = min(_MOST, max(_ANY_FILE, ratio * len(content)))
    if needed <= most:
        return None
    limit = f"{_MOST / 1e6:.0f} MB"
    if ratio * len(content) < _MOST:
        limit = f"{_ANY_FILE / 1e6:.0f} MB or {ratio} times the file"
    pixels, remedy = f"{size[0]} x {size[1]} pixels", "shrink the image"
    if block and needed - block.needed <= most:
        pixels, remedy = f"{pixels} with {block}", f"save the image with smaller {block.kind}s"
    return (
        f"{pixels} in a file of {len(content):,} bytes take {needed / 1e6:.0f} MB to decode, and "
        f"the limit is {limit}: {remedy}"
    )


def _bytes_per_pixel(image: Image.Image) -> float:
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        return _OF_WEBP
    if image.mode.startswith("I;16"):
        return _OF_16_BITS
    if image.mode == "RGB" and image.has_transparency_data:
        return _OF_OTHERS
    return _BY_MODE.get(image.mode, _OF_OTHERS)


def _has_several_scans(image: JpegImagePlugin.JpegImageFile, content: bytes) -> bool:
    return "progressive" in image.info or has_more_scans(content, 1)


def _coefficients_per_pixel(image: JpegImagePlugin.JpegImageFile) -> float:
    """Return the samples of all components per pixel: 3 without, 1.5 with usual subsampling."""
    factors = [(int(across), int(down)) for _, across, down, *_ in image.layer]
    samples = sum(across * down for across, down in factors)
    most = max(across for across, _ in factors) * max(down for _, down in factors)
    return samples / max(1, most)
