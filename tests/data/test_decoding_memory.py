from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image

from tests.data.corpus import bombs, large_tile
from tests.data.peak import PREPROCESSING, environment, read, rise
from tests.data.pictures import plain
from thaw.data.decoding import DecodeError, decode
from thaw.data.decoding_memory import memory_problem

MOST_MEGABYTES = 300


def problem(content: bytes, *, all_bits: bool = False, as_large_as: int = 0) -> str | None:
    image = Image.open(io.BytesIO(content))
    padded = content + bytes(max(0, as_large_as - len(content)))
    return memory_problem(image, image.size, padded, all_bits=all_bits)


def test_a_small_file_with_many_pixels_is_refused_with_the_memory_that_it_needs() -> None:
    content = plain("PNG", "RGB", 7000, 7000)
    reason = problem(content)
    assert reason is not None
    assert reason.startswith(f"7000 x 7000 pixels in a file of {len(content):,} bytes take 211 MB")
    assert "the limit is 200 MB or 100 times the file: shrink the image" in reason
    assert problem(plain("PNG", "RGB", 6800, 6800)) is None


def test_a_large_file_may_take_100_times_its_size() -> None:
    content = plain("PNG", "RGB", 9000, 9000)  # 348 MB
    assert problem(content, as_large_as=3_400_000) is not None
    assert problem(content, as_large_as=3_500_000) is None


def test_colours_of_16_bits_need_more_where_all_bits_are_read() -> None:
    content = plain("PNG", "RGB", 5000, 5000)
    assert problem(content) is None
    assert problem(content, all_bits=True) is not None


def test_a_jpeg_that_is_scaled_down_needs_little_unless_it_is_progressive() -> None:
    for progressive in (False, True):
        content = plain("JPEG", "RGB", 9000, 9000, quality=5, progressive=progressive)
        image = Image.open(io.BytesIO(content))
        image.draft(None, (300, 300))
        found = memory_problem(image, (9000, 9000), content, all_bits=False)
        assert (found is not None) == progressive


@pytest.mark.soak
def test_every_file_below_1_mb_with_98_megapixels_is_refused() -> None:
    for picture in bombs():
        assert len(picture.content) <= 1e6
        with pytest.raises(DecodeError, match=picture.reason):
            decode(picture.content, short_side=256, max_megapixels=100.0)


def test_a_tile_that_is_larger_than_its_image_is_refused() -> None:
    content = large_tile(8400)
    with pytest.raises(DecodeError, match=r"16 x 16 pixels .* take 212 MB to decode"):
        decode(content, short_side=256, max_megapixels=100.0)


# Files just below the limit: (format, mode, side in pixels, options)
LARGEST: list[tuple[str, str, int, dict[str, Any]]] = [
    ("PNG", "RGB", 6750, {}),
    ("PNG", "RGBA", 5700, {}),
    ("WEBP", "RGB", 3500, {"lossless": True}),
    ("JPEG", "RGB", 7800, {"quality": 5, "progressive": True}),
    ("TIFF", "I;16", 6600, {"compression": "tiff_deflate"}),
    ("GIF", "P", 8500, {}),
    ("PNG", "L", 9000, {}),
    ("TIFF", "CMYK", 5900, {"compression": "tiff_deflate"}),
]


@pytest.mark.parametrize("count", [3, pytest.param(len(LARGEST), marks=pytest.mark.soak)])
def test_files_just_below_the_limit_stay_within_the_memory_that_is_promised(count: int) -> None:
    command = [sys.executable, "-m", "tests.data.test_decoding_memory", str(count)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert len(results) == count
    side = PREPROCESSING.image_size
    for megabytes, said in results:
        assert said == f"(1, 3, {side}, {side})"
        assert float(megabytes) < MOST_MEGABYTES


def _measure(count: int) -> None:
    """Print the rise in megabytes and the result for the first files of ``LARGEST``."""
    read(plain("PNG", "RGBA", 400, 300))  # imports and allocations that happen once
    for kind, mode, side, options in LARGEST[:count]:
        content = plain(kind, mode, side, side, **options)
        said: list[str] = []
        print(rise(lambda content=content, said=said: said.append(read(content))), *said)  # type: ignore[misc]


if __name__ == "__main__":
    _measure(int(sys.argv[1]))
