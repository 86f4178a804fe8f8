"""Image files with more than 8 bits per sample, written without Pillow, which cannot write them."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> colour type, PNG specification 11.2.2
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}  # TIFF 6.0, section 19
_SHORT, _LONG = 3, 4  # TIFF types
_SIZES = {_SHORT: 2, _LONG: 4}
DEFLATE = 8


def png_16(values: NDArray[Any]) -> bytes:
    """Return a PNG of 16 bits per sample; ``values`` are (H, W) or (H, W, channels)."""
    values = values.reshape(*values.shape[:2], -1).astype(">u2")
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOURS[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def tiff(
    values: NDArray[Any],
    *,
    order: Literal["<", ">"] = "<",
    compression: int = 1,
    photometric: int | None = None,
    bits: int | None = None,
) -> bytes:
    """Return a TIFF of one strip; ``values`` are (H, W) or (H, W, channels) of any type.

    ``bits`` is the number of bits per sample if ``values`` are bytes that are packed already.
    """
    values = values.reshape(*values.shape[:2], -1)
    height, width, channels = values.shape
    if bits == 12:
        width = width * 8 // 12
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if compression == DEFLATE else data
    if photometric is None:
        photometric = 1 if channels == 1 else 2
    kind = _SAMPLE_FORMATS[values.dtype.kind]
    entries: list[tuple[int, int, list[int]]] = [
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [bits or values.dtype.itemsize * 8] * channels),
        (259, _SHORT, [compression]),
        (262, _SHORT, [photometric]),
        (273, _LONG, [8]),
        (277, _SHORT, [channels]),
        (278, _LONG, [height]),
        (279, _LONG, [len(data)]),
        (339, _SHORT, [kind] * channels),
    ]
    data += b"\0" * (len(data) % 2)
    mark = b"II" if order == "<" else b"MM"
    directory = 8 + len(data)
    extra_at = directory + 2 + 12 * len(entries) + 4
    table, extra = b"", b""
    for tag, type_, numbers in entries:
        packed = struct.pack(f"{order}{len(numbers)}{'H' if type_ == _SHORT else 'I'}", *numbers)
        if len(packed) > 4:
            field = struct.pack(f"{order}I", extra_at + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        else:
            field = packed.ljust(4, b"\0")
        table += struct.pack(f"{order}HHI", tag, type_, len(numbers)) + field
    return (
        mark
        + struct.pack(f"{order}HI", 42, directory)
        + data
        + struct.pack(f"{order}H", len(entries))
        + table
        + struct.pack(f"{order}I", 0)
        + extra
    )
