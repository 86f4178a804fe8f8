"""The meaning of errors of Pillow's decoders, for the message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_DAMAGED = "its data is damaged or incomplete"
# Pattern in the error -> reason
_MEANINGS = {
    r"(decoder|decoding) error|image buffer overrun|broken data stream|unknown error": _DAMAGED,
    r"MAX_TEXT_CHUNK": "a text or colour profile chunk is larger than 1 MB",
    r"MAX_TEXT_MEMORY": "its text chunks are larger than 64 MB together",
}
_BOMB = re.compile(r"Image size \((\d+) pixels\) exceeds limit of (\d+)")
_MOST_BY_DEFLATE = 1032  # bytes per byte: 258 bytes from a match of two bits


def reason_of(error: Exception) -> str:
    """Return what an error of Pillow says about the file."""
    text = " ".join(str(error).split())
    if found := _BOMB.search(text):
        pixels, most = map(int, found.groups())
        return f"a part of the image has {pixels:,} pixels, and at most {most:,} are read"
    for pattern, reason in _MEANINGS.items():
        if re.search(pattern, text):
            return reason
    return text or f"{_DAMAGED} ({type(error).__name__})"


def incomplete_reason(image: Image.Image, content: bytes) -> str | None:
    """Return a reason if ``content`` has fewer bytes than the pixels of ``image`` need at least.

    Only PNG and formats without compression have such a least size.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    codec = tiles[0][0] if tiles else None
    if codec not in {"raw", "zip"} and (codec is not None or image.format != "PNG"):
        return None
    bits = 1 if len(image.getbands()) == 1 else 8
    ratio = 1 if codec == "raw" else _MOST_BY_DEFLATE
    if image.width * image.height * bits / 8 / ratio <= len(content):
        return None
    return (
        f"the file is incomplete: {len(content):,} bytes cannot hold "
        f"{image.width} x {image.height} pixels"
    )
