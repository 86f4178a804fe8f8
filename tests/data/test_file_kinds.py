from __future__ import annotations

import time

import pytest

from tests.data.corpus import corpus
from thaw.data.decoding import FORMATS
from thaw.data.file_kinds import reason_not_opened, size_by_header

FILES = {picture.name: picture for picture in corpus()}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zeros.jpg", "not an image: only zero bytes; the file was not written completely"),
        ("page.jpg", "not an image: an HTML page; a download has failed, perhaps"),
        ("page-with-space.png", "not an image: an HTML page; a download has failed, perhaps"),
        ("error.jpg", "not an image: text"),
        ("drawing.svg", "an SVG drawing, which thaw does not read: convert it to JPEG or PNG"),
        ("pointer.png", "not an image: a pointer of Git LFS; run `git lfs pull`"),
        ("phone.heic", "a HEIC image, which thaw does not read: convert it to JPEG or PNG"),
        ("video.jpg", "not an image: a video (MP4)"),
        ("noise.jpg", "not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"),
        ("zero-wide.png", "0 x 10 pixels by its header: it has no pixels"),
        ("zero-wide.bmp", "0 x 36 pixels by its header: it has no pixels"),
        ("header-only.webp", "cannot be decoded: a WEBP file with a damaged or unknown header"),
        (
            "deep-double.tif",
            "cannot be decoded: a TIFF file with a damaged or unknown header (unknown pixel mode)",
        ),
    ],
)
def test_the_reason_says_what_the_file_is(name: str, reason: str) -> None:
    assert reason_not_opened(FILES[name].content, FORMATS) == reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!---->" * 140 + b"x", "not an image: text"),
        (b"<?xml?>" + b"<!-- -->\n" * 100 + b"<svh", "not an image: text"),
        (b"<!-- never closed " * 50, "not an image: text"),
        (b" <!-- a --> <!-- <svg> --> <!DOCTYPE HTML>", "not an image: an HTML page"),
        (b"<?xml?><!DOCTYPE svg PUBLIC><!-- a -->\n<svg>", "an SVG drawing"),
    ],
    ids=["comments", "declaration", "open comment", "page", "drawing"],
)
def test_comments_before_the_first_element_take_no_time(content: bytes, reason: str) -> None:
    start = time.process_time()
    assert reason_not_opened(content, FORMATS).startswith(reason)
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypcrx ", "a raw photo (CR3)"),
        (b"\0\0\0\x18ftypheim", "a HEIC image"),
        (b"\0\0\0\x18ftypavio", "an AVIF image"),
        (b"\0\0\0\x18ftypjp2 ", "a JPEG 2000 image"),
        (b"\0\0\0\x14ftypqt  ", "not an image: a video (QuickTime)"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (b"SIMPLE  =        T", "a FITS image"),
        (b"data:image/png;base64,iVBO", "not an image: base64 text; decode it to a file"),
        (b"\x89PNG\r\r\n\x1a\r\n", "cannot be decoded: a PNG file that was copied as text"),
        (b"\xef\xbb\xbf\x89PNG\r\n", "cannot be decoded: a PNG file that was copied as text"),
    ],
)
def test_files_of_cameras_scientists_and_other_programs_are_named(
    content: bytes, reason: str
) -> None:
    assert reason_not_opened(content + bytes(range(200)), FORMATS).startswith(reason)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 12, 16, 20, 24, 30])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_any_beginning_of_any_file_has_a_reason(length: int) -> None:
    for picture in FILES.values():
        assert reason_not_opened(picture.content[:length], FORMATS)


def test_the_size_of_an_image_that_pillow_refuses_is_read_from_its_header() -> None:
    assert size_by_header(FILES["1-wide.png"].content, FORMATS) == (1, 2**31 - 1)
    assert size_by_header(FILES["large.gif"].content, FORMATS) == (65535, 65535)
    assert size_by_header(b"no image", FORMATS) is None
