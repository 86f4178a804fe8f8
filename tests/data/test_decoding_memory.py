from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from PIL import Image

from tests.data.corpus import bombs, large_tile
from tests.data.peak import PREPROCESSING, environment, read, resident, rise
from tests.data.pictures import plain
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.decoding_memory import (
    memory_needed,
    memory_problem,
    memory_to_open,
    memory_with_result,
)

MOST_MEGABYTES = 300


def problem(content: bytes, *, all_bits: bool = False, as_large_as: int = 0) -> str | None:
    image = Image.open(io.BytesIO(content))
    padded = content + bytes(max(0, as_large_as - len(content)))
    needed = memory_needed(image, image.size, padded, all_bits=all_bits)
    return memory_problem(needed, image.size, padded)


@pytest.mark.slow
def test_a_small_file_with_many_pixels_is_refused_with_the_memory_that_it_needs() -> None:
    content = plain("PNG", "RGB", 7000, 7000)
    reason = problem(content)
    assert reason is not None
    assert reason.startswith(f"7000 x 7000 pixels in a file of {len(content):,} bytes take 211 MB")
    assert "the limit is 200 MB or 100 times the file: shrink the image" in reason
    assert problem(plain("PNG", "RGB", 6800, 6800)) is None


@pytest.mark.slow
def test_a_large_file_may_take_100_times_its_size() -> None:
    content = plain("PNG", "RGB", 9000, 9000)  # 348 MB
    assert problem(content, as_large_as=3_400_000) is not None
    assert problem(content, as_large_as=3_500_000) is None


@pytest.mark.slow
def test_colours_of_16_bits_need_more_where_all_bits_are_read() -> None:
    content = plain("PNG", "RGB", 5000, 5000)
    assert problem(content) is None
    assert problem(content, all_bits=True) is not None


@pytest.mark.parametrize(
    ("size", "mode", "short_side", "megabytes"),
    [
        ((6800, 6800), "RGB", 256, 192),
        ((6800, 6800), "RGB", 4096, 363),  # measured: 365
        ((6800, 6800), "RGB", 6800, 324),  # measured: 338
        ((7000, 7000), "L", 4096, 231),  # measured: 219
        ((700, 70000), "L", 256, 147),
    ],
)
def test_a_large_result_counts(
    size: tuple[int, int], mode: str, short_side: int, megabytes: int
) -> None:
    assert memory_with_result(size, mode, short_side) == pytest.approx(megabytes * 1e6, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_small_file_with_a_large_result_is_refused(kind: str) -> None:
    content = plain(kind, "L", 7000, 7000)
    with pytest.raises(DecodeError, match=r"7000 x 7000 pixels .* take 231 MB to decode"):
        decode(content, short_side=4096, max_megapixels=50.0)


@pytest.mark.slow
def test_colours_with_a_transparent_one_need_a_copy() -> None:
    content = plain("PNG", "RGB", 6800, 6800, transparency=(1, 2, 3))
    reason = problem(content)
    assert reason is not None
    assert "take 277 MB" in reason


@pytest.mark.slow
def test_a_jpeg_that_is_scaled_down_needs_little_unless_it_is_progressive() -> None:
    for progressive in (False, True):
        content = plain("JPEG", "RGB", 9000, 9000, quality=5, progressive=progressive)
        image = Image.open(io.BytesIO(content))
        image.draft(None, (300, 300))
        needed = memory_needed(image, (9000, 9000), content, all_bits=False)
        found = memory_problem(needed, (9000, 9000), content)
        assert (found is not None) == progressive


def test_no_file_may_take_more_than_600_mb() -> None:
    size, content = (7000, 7000), bytes(9_000_000)
    assert memory_problem(600e6, size, content) is None
    reason = memory_problem(601e6, size, content)
    assert reason is not None
    assert reason.endswith("take 601 MB to decode, and the limit is 600 MB: shrink the image")


@pytest.mark.slow
@pytest.mark.parametrize(("length", "is_accepted"), [(1_500_000, True), (1_000_000, False)])
def test_a_webp_photograph_of_24_megapixels_is_accepted(length: int, is_accepted: bool) -> None:
    content = plain("WEBP", "RGB", 6000, 4000, method=0)
    content += bytes(length - len(content))
    needed = memory_to_open(content)
    assert needed == pytest.approx(386e6, rel=0.01)
    assert (memory_problem(needed, (6000, 4000), content) is None) == is_accepted


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "side"), [("WEBP", 7000), ("GIF", 9900)])
def test_formats_that_allocate_when_opened_are_refused_before(
    kind: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"lossless": True, "method": 0} if kind == "WEBP" else {}
    content = plain(kind, "P" if kind == "GIF" else "RGB", side, side, **options)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the file was opened")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DecodeError, match=rf"{side} x {side} pixels .* MB to decode"):
        decode(content, short_side=256, max_megapixels=100.0)


@pytest.mark.soak
def test_every_file_below_1_mb_with_98_megapixels_is_refused() -> None:
    for picture in bombs():
        assert len(picture.content) <= 1e6
        with pytest.raises(DecodeError, match=picture.reason):
            decode(picture.content, short_side=256, max_megapixels=100.0)


@pytest.mark.slow
def test_a_tile_that_is_larger_than_its_image_is_refused() -> None:
    content = large_tile(8400)
    with pytest.raises(DecodeError, match=r"16 x 16 pixels .* take 212 MB to decode"):
        decode(content, short_side=256, max_megapixels=100.0)


# Files just below the limit: (format, mode, side in pixels, options)
LARGEST: list[tuple[str, str, int, dict[str, Any]]] = [
    ("PNG", "RGB", 6750, {}),
    (
        "TIFF",
        "RGB",
        5300,
        {"compression": "tiff_lzw", "strip_size": 2**31 - 1, "tiffinfo": {278: 5300}},
    ),
    ("PNG", "RGBA", 5700, {}),
    ("WEBP", "RGB", 3500, {"lossless": True}),
    ("JPEG", "RGB", 7800, {"quality": 5, "progressive": True}),
    ("TIFF", "I;16", 6600, {"compression": "tiff_deflate"}),
    ("GIF", "P", 8500, {}),
    ("PNG", "L", 9000, {}),
    ("TIFF", "CMYK", 5900, {"compression": "tiff_deflate"}),
]


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory through /proc")
def test_images_decoded_at_once_do_not_add_up_and_their_memory_is_given_back() -> None:
    command = [sys.executable, "-m", "tests.data.test_decoding_memory", "at once"]
    never = str(4 << 30)  # as `thaw` starts its processes: glibc keeps freed memory
    kept = {"MALLOC_MMAP_THRESHOLD_": never, "MALLOC_TRIM_THRESHOLD_": never}
    done = subprocess.run(command, env=environment() | kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    accepted, refused = results
    assert accepted[2] == "(1, 3, 224, 224)"
    assert "MB to decode" in refused[2]
    for peak, left, _ in results:
        assert float(peak) < MOST_MEGABYTES
        assert float(left) < 40


def _measure_at_once() -> None:
    """Print the peak, the rise afterwards, and the result for files that 4 threads decode."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, [plain("PNG", "RGBA", 400, 300)] * 8))
        for side in (2600, 5000):
            content = plain("WEBP", "RGB", side, side, lossless=True, method=0)
            read(content)
            said: list[str] = []
            before = resident()
            work = partial(pool.map, read, [content] * 4)
            peak = rise(lambda work=work, said=said: said.extend(work()))  # type: ignore[misc]
            print(peak, resident() - before, *set(said))


def _measure(count: int) -> None:
    """Print the rise in megabytes and the result for the first files of ``LARGEST``."""
    read(plain("PNG", "RGBA", 400, 300))  # imports and allocations that happen once
    for kind, mode, side, options in LARGEST[:count]:
        content = plain(kind, mode, side, side, **options)
        said: list[str] = []
        print(rise(lambda content=content, said=said: said.append(read(content))), *said)  # type: ignore[misc]


if __name__ == "__main__":
    if sys.argv[1] == "at once":
        _measure_at_once()
    else:
        _measure(int(sys.argv[1]))
