"""Files that cannot be opened as images: what they are, for the message."""

from __future__ import annotations

import io
import re
import struct
from contextlib import suppress

from PIL import Image

# Place and form of (width, height) in the header of a format.
_SIZES = {"PNG": (16, ">II"), "GIF": (6, "<HH"), "BMP": (18, "<ii")}
_START = 1024  # bytes in which a text is recognised

_HTML = re.compile(rb"<(!doctype html|html|head|body)\b", re.I)
_SVG = re.compile(rb"<svg\b", re.I)
# What may precede the first element of HTML and SVG: start, end
_BEFORE = ((b"<?xml", b"?>"), (b"<!--", b"-->"), (b"<!doctype svg", b">"))
DAMAGED = "cannot be decoded:"
_CONVERT = "which thaw does not read: convert it to JPEG or PNG"
_BY_START = {
    b"version https://git-lfs": "not an image: a pointer of Git LFS; run `git lfs pull`",
    b"%PDF": "not an image: a PDF document",
    b"PK\x03\x04": "not an image: a ZIP archive",
    b"\x1f\x8b": "not an image: a gzip archive",
    b"\0\0\0\x0cjP  ": f"a JPEG 2000 image, {_CONVERT}",
    b"\xff\x4f\xff\x51": f"a JPEG 2000 image, {_CONVERT}",
    b"\xff\x0a": f"a JPEG XL image, {_CONVERT}",
    b"\0\0\0\x0cJXL ": f"a JPEG XL image, {_CONVERT}",
    b"8BPS": f"a Photoshop document, {_CONVERT}",
    b"gimp xcf": f"a GIMP document, {_CONVERT}",
    b"v/1\x01": f"an OpenEXR image, {_CONVERT}",
    b"qoif": f"a QOI image, {_CONVERT}",
    b"II\xbc\x01": f"a JPEG XR image, {_CONVERT}",
    b"SIMPLE  =": f"a FITS image, {_CONVERT}",
    b"\x93NUMPY": f"a NumPy array, {_CONVERT}",
    b"Rar!": "not an image: a RAR archive",
    b"7z\xbc\xaf": "not an image: a 7-Zip archive",
    b"SQLite format 3\0": "not an image: an SQLite database",
    b"\x1aE\xdf\xa3": "not an image: a video (WebM or Matroska)",
    b"data:image/": "not an image: base64 text; decode it to a file",
    b"\xef\xbb\xbf\x89PNG": "cannot be decoded: a PNG file that was copied as text",
    b"\x89PNG\r\r\n": "cannot be decoded: a PNG file that was copied as text",
    b"\x89PNG\n": "cannot be decoded: a PNG file that was copied as text",
}
_DICOM = (128, b"DICM")
# ISO base media files: the brand follows the size and `ftyp`.
_BY_BRAND = {
    **dict.fromkeys(
        (
            b"heic",
            b"heix",
            b"heim",
            b"heis",
            b"hevc",
            b"hevx",
            b"hevm",
            b"hevs",
            b"mif1",
            b"mif2",
            b"msf1",
        ),
        f"a HEIC image, {_CONVERT}",
    ),
    **dict.fromkeys((b"avif", b"avis", b"avio", b"MA1A", b"MA1B"), f"an AVIF image, {_CONVERT}"),
    **dict.fromkeys((b"jp2 ", b"jpx ", b"jpm "), f"a JPEG 2000 image, {_CONVERT}"),
    b"crx ": f"a raw photo (CR3), {_CONVERT}",
    b"qt  ": "not an image: a video (QuickTime)",
}


def reason_not_opened(content: bytes, formats: tuple[str, ...]) -> str:
    """Return why Pillow does not open ``content`` as one of ``formats``."""
    name = _format_of(content, formats)
    if name is None:
        return _other_kind(content) or f"not an image in a known format ({', '.join(formats)})"
    if (size := _stored_size(content, name)) and 0 in size:
        return f"{size[0]} x {size[1]} pixels by its header: it has no pixels"
    try:
        _open(content, name)
    except Exception as error:  # what a damaged header causes
        detail = " ".join(str(error).split()) or type(error).__name__
        return f"{DAMAGED} a {name} file with a damaged or unknown header ({detail})"
    return f"{DAMAGED} a {name} file that cannot be opened"


def size_by_header(content: bytes, formats: tuple[str, ...]) -> tuple[int, int] | None:
    """Return (width, height) of an image that has too many pixels for ``Image.open``."""
    name = _format_of(content, formats)
    return None if name is None else _open(content, name).size


def _format_of(content: bytes, formats: tuple[str, ...]) -> str | None:
    """Return the format that the first bytes name."""
    for name in formats:
        accept = Image.OPEN[name][1]
        if accept is not None and accept(content[:16]) is True:
            return name
    return None


def _open(content: bytes, name: str) -> Image.Image:
    factory = Image.OPEN[name][0]
    return factory(io.BytesIO(content), "")


def _stored_size(content: bytes, name: str) -> tuple[int, int] | None:
    """Return (width, height) in the header of an image of the format ``name``, None if unknown."""
    if name not in _SIZES:
        return None
    place, form = _SIZES[name]
    with suppress(struct.error):
        width, height = struct.unpack_from(form, content, place)
        return width, height
    return None


def _other_kind(content: bytes) -> str | None:
    """Return what a file is that is no image of a format that thaw reads; None if unknown."""
    for start, kind in _BY_START.items():
        if content.startswith(start):
            return kind
    if content[_DICOM[0] :].startswith(_DICOM[1]):
        return f"a DICOM image, {_CONVERT}"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return f"{DAMAGED} a WEBP file with a damaged or unknown header"
    if content[4:8] == b"ftyp":
        return _BY_BRAND.get(content[8:12], "not an image: a video (MP4)")
    start = content[:_START]
    if not content.strip(b"\0"):
        return "not an image: only zero bytes; the file was not written completely"
    element = _first_element(start)
    if _HTML.match(element):
        return "not an image: an HTML page; a download has failed, perhaps"
    if _SVG.match(element):
        return f"an SVG drawing, {_CONVERT}"
    is_text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    with suppress(UnicodeDecodeError):
        start.decode("utf-8")
        return "not an image: text" if is_text else None
    return None


def _first_element(text: bytes) -> bytes:
    """Return ``text`` without what precedes its first element.

    A regular expression for it would take exponential time for many comments.
    """
    text = text.lstrip()
    while found := [end for begin, end in _BEFORE if text[: len(begin)].lower() == begin]:
        _, is_complete, text = text.partition(found[0])
        if not is_complete:
            return b""
        text = text.lstrip()
    return text
