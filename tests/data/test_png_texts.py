from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest

from tests.data.corpus import corpus
from tests.data.deep_pictures import chunk
from tests.data.peak import measured
from tests.data.pictures import encoded
from thaw.data.decoding import decode
from thaw.data.png_texts import without_texts

PLAIN = encoded("PNG", "RGB", (20, 30))
AFTER_HEADER = 33  # bytes of the signature and the first chunk
XMP = b"XML:com.adobe.xmp"
ONE_MEGABYTE = ("a" * (2**20 - 8) + "\U0001f600").encode()  # 4 MB as a text of Python


def text(name: bytes, keyword: bytes, value: bytes) -> bytes:
    """Return a text chunk; zTXt and iTXt compress the value."""
    packed = {
        b"tEXt": b"\0" + value,
        b"zTXt": b"\0\0" + zlib.compress(value, 9),
        b"iTXt": b"\0\1\0\0\0" + zlib.compress(value, 9),
    }
    return chunk(name, keyword + packed[name])


def with_chunks(before: bytes, after: bytes = b"") -> bytes:
    """Return a PNG file with chunks before and after its pixels."""
    end = PLAIN.index(b"IEND") - 4
    return PLAIN[:AFTER_HEADER] + before + PLAIN[AFTER_HEADER:end] + after + PLAIN[end:]


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
def test_texts_are_removed_before_and_after_the_pixels(name: bytes) -> None:
    texts = text(name, b"Comment", b"hello") + text(name, b"", b"hello")
    assert without_texts(with_chunks(texts, texts)) == PLAIN


def test_other_chunks_and_other_files_are_kept() -> None:
    for content in (with_chunks(chunk(b"pHYs", bytes(9)), chunk(b"abCd", b"tEXt")), PLAIN, b""):
        assert without_texts(content) is content
    for picture in corpus():
        if not picture.name.endswith(".png"):
            assert without_texts(picture.content) is picture.content


def test_a_file_that_ends_in_a_text_loses_only_the_text() -> None:
    last = text(b"tEXt", b"Comment", b"hello")
    for length in range(12, len(last)):
        assert without_texts(PLAIN + last[:length]) == PLAIN
    assert without_texts(PLAIN + last[:11]) == PLAIN + last[:11]


def test_the_orientation_in_a_text_still_counts() -> None:
    turned = [
        text(b"iTXt", XMP, b'<rdf tiff:Orientation="6"/>'),
        text(b"zTXt", b"Raw profile type exif", b"\nexif\n 34\n" + _exif(6).hex().encode()),
    ]
    upright = decode(PLAIN, short_side=64, max_megapixels=1.0).pixels
    for each in turned:
        content = with_chunks(each + text(b"tEXt", b"Comment", b"hello"))
        pixels = decode(content, short_side=64, max_megapixels=1.0).pixels
        np.testing.assert_array_equal(pixels, np.rot90(upright, -1))


def test_a_text_named_like_a_property_of_the_image_does_not_change_its_pixels() -> None:
    content = with_chunks(text(b"tEXt", b"transparency", b"hello"))
    plain = decode(PLAIN, short_side=64, max_megapixels=1.0)
    found = decode(content, short_side=64, max_megapixels=1.0)
    assert found.conversions == plain.conversions
    np.testing.assert_array_equal(found.pixels, plain.pixels)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory through /proc")
def test_texts_that_decompress_to_256_mb_take_little_memory() -> None:
    texts = [text(b"iTXt", b"k%d" % number, ONE_MEGABYTE) for number in range(63)]
    content = with_chunks(b"".join(texts), text(b"iTXt", XMP, ONE_MEGABYTE) * 60)
    assert len(content) < 200_000
    megabytes, said = measured(content)
    assert said == "(1, 3, 224, 224)"
    assert megabytes < 60


def _exif(orientation: int) -> bytes:
    """Return an EXIF block with this orientation alone."""
    entry = b"\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0])
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
