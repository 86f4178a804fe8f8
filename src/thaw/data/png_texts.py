"""Remove the texts of a PNG file before Pillow opens it.

Pillow decompresses all texts when it opens a file, up to 64 million characters of 1 to 4 bytes, and
those after the pixels when it decodes. thaw needs only the texts that may give the orientation.
"""

from __future__ import annotations

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG specification, third edition, sections 5.3 and 11.3.3
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_FRAME = 12  # bytes of a chunk around its data: length, type, checksum
# Keywords of texts in which Pillow looks for an orientation
_ORIENTATION = {b"XML:com.adobe.xmp", b"Raw profile type exif", b"exif"}
_LONGEST_KEYWORD = 79  # bytes


def without_texts(content: bytes) -> bytes:
    """Return a PNG file without its texts, except those that may give the orientation.

    Other files are returned as they are.
    """
    if not content.startswith(_SIGNATURE):
        return content
    view, parts = memoryview(content), []
    kept = place = len(_SIGNATURE)
    while place + _FRAME <= len(content):
        end = place + _FRAME + int.from_bytes(view[place : place + 4])
        if view[place + 4 : place + 8] in _TEXTS and not _may_give_orientation(content, place + 8):
            parts.append(view[kept:place])
            kept = end
        place = end
    return b"".join([_SIGNATURE, *parts, view[kept:]]) if parts else content


def _may_give_orientation(content: bytes, start: int) -> bool:
    """Return whether the text whose data is at ``start`` may give the orientation."""
    return content[start : start + _LONGEST_KEYWORD + 1].partition(b"\0")[0] in _ORIENTATION
