from __future__ import annotations

import io
import struct
import time

import pytest
from PIL import Image

from tests.data.corpus import pixels, save
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.decoding_time import time_problem

MOST_SECONDS = 10  # of processor time; a refusal takes none


def problem(content: bytes) -> str | None:
    return time_problem(Image.open(io.BytesIO(content)), content)


def progressive_jpeg(width: int, height: int, scans: int, *, arithmetic: bool = False) -> bytes:
    """Return a grey JPEG of which each scan says that no coefficient of any block changes."""
    blocks = -(-width // 8) * -(-height // 8)
    runs = "".join("0" + "1" * 14 for _ in range(-(-blocks // 32767)))  # of 32,767 blocks each
    bits = runs + "1" * (-len(runs) % 8)
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(
        b"\xff", b"\xff\0"
    )
    frame = struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])
    scan = b"\xff\xda" + struct.pack(">H", 8) + bytes([1, 1, 0, 1, 63, 0]) + data
    return b"".join(
        [
            b"\xff\xd8\xff\xdb\0\x43\0" + b"\1" * 64,
            b"\xff" + (b"\xca" if arithmetic else b"\xc2") + struct.pack(">H", 11) + frame,
            b"\xff\xc4\0\x14\x10\1" + bytes(15) + b"\xe0",
            scan * scans,
            b"\xff\xd9",
        ]
    )


def run_length_bmp(side: int) -> bytes:
    """Return a BMP of which each row has one pixel, and ends."""
    data = b"\1\0\0\0" * side + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078) + header + bytes(1024) + data


def shared_strips(width: int, height: int, length: int) -> bytes:
    """Return a TIFF of which each row is a strip, and all strips are the same ``length`` bytes."""
    entries = {256: width, 257: height, 258: 8, 259: 32773, 262: 1, 266: 2, 277: 1, 278: 1}
    tables = 8 + 2 + 12 * (len(entries) + 2) + 4
    rows = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items()]
    rows.append(struct.pack("<HHII", 273, 4, height, tables))
    rows.append(struct.pack("<HHII", 279, 4, height, tables + 4 * height))
    rows.sort(key=lambda row: int.from_bytes(row[:2], "little"))
    table = b"".join(rows)
    values = struct.pack("<I", tables + 8 * height) * height + struct.pack("<I", length) * height
    start = b"II*\0" + struct.pack("<IH", 8, len(rows))
    return start + table + bytes(4) + values + b"\x81\0" * (length // 2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (progressive_jpeg(9000, 9000, 6000), "a JPEG file of more than 100 scans"),
        (progressive_jpeg(2000, 2000, 101), "a JPEG file of more than 100 scans"),
        (progressive_jpeg(5000, 5000, 21, arithmetic=True), "a JPEG file of more than 20 scans"),
        (run_length_bmp(8500), "8500 x 8500 pixels in a run-length encoded BMP file"),
        (shared_strips(600, 55_000, 400_000), "its strips or tiles have 22,000,000,000 bytes"),
    ],
    ids=["many scans", "small", "arithmetic", "run-length", "strips"],
)
def test_a_small_file_that_takes_long_is_refused_at_once(content: bytes, reason: str) -> None:
    assert len(content) < 1_000_000
    start = time.process_time()
    with pytest.raises(DecodeError, match=reason):
        decode(content, short_side=256, max_megapixels=100.0)
    assert time.process_time() - start < 1


@pytest.mark.soak
@pytest.mark.parametrize(
    "content",
    [
        progressive_jpeg(9000, 9000, 100),
        progressive_jpeg(9000, 9000, 20, arithmetic=True),
        run_length_bmp(6300),
        shared_strips(600, 40_000, 60),
    ],
    ids=["scans", "arithmetic", "run-length", "strips"],
)
def test_files_just_below_the_limits_are_decoded_in_seconds(content: bytes) -> None:
    start = time.process_time()
    decode(content, short_side=256, max_megapixels=100.0)
    assert time.process_time() - start < MOST_SECONDS


def test_usual_files_of_these_kinds_are_accepted() -> None:
    photo = Image.fromarray(pixels())
    contents = [
        save(photo, "JPEG", progressive=True),
        progressive_jpeg(64, 64, 100),
        progressive_jpeg(64, 64, 20, arithmetic=True),
        run_length_bmp(64),
        save(photo, "TIFF", compression="packbits", strip_size=200),
        save(photo, "TIFF", compression="raw"),
        shared_strips(16, 8, 16),
    ]
    assert [problem(content) for content in contents] == [None] * len(contents)


def test_markers_within_a_segment_are_not_scans() -> None:
    content = save(Image.fromarray(pixels()), "JPEG", comment=b"\xff\xda\0\2" * 500)
    assert problem(content) is None
