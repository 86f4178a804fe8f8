from __future__ import annotations

import struct
import zlib

import pytest
from PIL import Image

from tests.data.corpus import save
from tests.data.deep_pictures import chunk
from tests.data.pictures import noise
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.decoding_errors import reason_of


def reason(content: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(content, short_side=256, max_megapixels=100.0)
    return str(caught.value)


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def test_a_gif_whose_frame_is_huge_has_too_many_pixels() -> None:
    content = save(Image.new("P", (30, 20)), "GIF")
    place = content.index(b",\0\0\0\0") + 5
    large = content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :]
    expected = "65535 x 65535 pixels, more than the limit of 100 megapixels: shrink the image"
    assert reason(large) == expected


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "jpeg"])
def test_a_damaged_tiff_is_called_damaged(compression: str) -> None:
    content = save(Image.fromarray(noise(60, 80, 3)), "TIFF", compression=compression)
    damaged = content[:8] + b"\xff\x07" * 300 + content[608:]
    assert reason(damaged) == "cannot be decoded: its data is damaged or incomplete"


@pytest.mark.parametrize("number", [-2, -9])
def test_numbers_of_decoder_errors_are_replaced(number: int) -> None:
    assert reason_of(OSError(f"decoder error {number}")) == "its data is damaged or incomplete"


def test_errors_that_say_what_is_wrong_are_kept() -> None:
    assert reason_of(OSError("image file is\n truncated")) == "image file is truncated"
    assert reason_of(ValueError()) == "its data is damaged or incomplete (ValueError)"


def test_the_limit_of_pillow_is_stated_in_plain_words() -> None:
    error = Image.DecompressionBombError(
        "Image size (200000000 pixels) exceeds limit of 178956970 pixels, could be decompression "
        "bomb DOS attack."
    )
    expected = "a part of the image has 200,000,000 pixels, and at most 178,956,970 are read"
    assert reason_of(error) == expected


@pytest.mark.parametrize(("name", "keyword"), [(b"iCCP", b"x"), (b"zTXt", b"exif")])
def test_a_text_or_profile_that_is_too_large_is_named(name: bytes, keyword: bytes) -> None:
    bomb = chunk(name, keyword + b"\0\0" + zlib.compress(bytes(3_000_000)))
    expected = "cannot be decoded: a text or colour profile chunk is larger than 1 MB"
    assert reason(png(8, 8, bomb, chunk(b"IDAT", zlib.compress(bytes(200))))) == expected


@pytest.mark.parametrize("data", [b"", b"\0", zlib.compress(bytes(100))])
def test_a_png_with_too_few_bytes_for_its_pixels_is_incomplete(data: bytes) -> None:
    content = png(7000, 7000, chunk(b"IDAT", data))
    expected = f"the file is incomplete: {len(content)} bytes cannot hold 7000 x 7000 pixels"
    assert reason(content) == f"cannot be decoded: {expected}"
    assert "cannot hold" in reason(png(7000, 7000))


def test_a_bmp_of_its_header_alone_is_incomplete() -> None:
    content = save(Image.new("RGB", (8, 8)), "BMP")
    large = content[:18] + struct.pack("<ii", 7000, 7000) + content[26:]
    assert "bytes cannot hold 7000 x 7000 pixels" in reason(large)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["1", "RGB"])
def test_a_complete_png_of_one_colour_is_not_called_incomplete(mode: str) -> None:
    content = save(Image.new(mode, (9900, 9900)), "PNG", compress_level=9)
    assert "MB to decode" in reason(content)
