from __future__ import annotations

import io
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests import settings
from tests.ingest.images import read_images
from thaw.data.large_files import unread_reason
from thaw.ingest.listing import BadFile, Listing, Sample

if TYPE_CHECKING:
    from pathlib import Path


def sparse(path: Path, start: bytes, size: int) -> Path:
    """Write a file of ``size`` bytes that takes no place on the disk."""
    path.write_bytes(start)
    os.truncate(path, size)
    return path


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("start", "size", "reason"),
    [
        (b"", 5_000_000_000, "not an image: only zero bytes"),
        (b"PK\x03\x04", 60_000_000, "not an image: a ZIP archive"),
        (b"\0\0\0\x18ftypisom", 60_000_000, "not an image: a video (MP4)"),
        (png(), 2_000_000_000, "2,000 MB: larger than any image that is read"),
        (png(), 60_000_000, None),
        (b"PK\x03\x04", 1_000_000, None),  # it is read, and refused then
    ],
)
def test_a_large_file_that_is_no_image_is_not_read(
    start: bytes, size: int, reason: str | None, tmp_path: Path
) -> None:
    found = unread_reason(sparse(tmp_path / "a.png", start, size))
    assert found is None if reason is None else str(found).startswith(reason)


def test_prepare_does_not_read_a_large_file_into_memory(tmp_path: Path) -> None:
    sparse(tmp_path / "a.png", b"", 5_000_000_000)
    listing = Listing(tmp_path, [Sample("a.png", "cat")], ["cat"])
    tracemalloc.start()
    try:
        (item,) = read_images(listing, settings.prepare())
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(item, BadFile)
    assert item.reason.startswith("not an image: only zero bytes")
