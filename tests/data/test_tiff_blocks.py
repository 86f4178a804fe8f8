from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from tests.data.corpus import large_tile, save
from tests.data.pictures import plain
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.tiff_blocks import Block, block_of

SIZE = (60, 40)
ROWS = 278


def opened(mode: str, compression: str, tags: dict[int, Any], **options: Any) -> Image.Image:
    """Return an opened TIFF of ``SIZE``."""
    content = save(Image.new(mode, SIZE), "TIFF", compression=compression, tiffinfo=tags, **options)
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("mode", "compression", "bytes_per_pixel"),
    [
        ("RGB", "tiff_deflate", 3),
        ("RGB", "tiff_lzw", 3),
        ("RGB", "packbits", 3),
        ("RGBA", "tiff_deflate", 4),
        ("CMYK", "tiff_adobe_deflate", 4),
        ("LA", "tiff_deflate", 2),
        ("L", "tiff_deflate", 1),
        ("1", "group4", 1 / 8),
        ("I;16", "tiff_deflate", 2),
        ("F", "tiff_deflate", 4),
        ("YCbCr", "tiff_deflate", 3 + 4),
        ("RGB", "zstd", 3 * 3),
        ("RGB", "lzma", 3 * 3),
        ("L", "jpeg", 3),
    ],
)
def test_a_strip_takes_its_samples_and_what_its_decoder_keeps(
    mode: str, compression: str, bytes_per_pixel: float
) -> None:
    block = block_of(opened(mode, compression, {ROWS: 40}, strip_size=2**20))
    assert block == Block("strip", 60, 40, 60 * 40 * bytes_per_pixel)
    assert str(block) == "a strip of 60 x 40 pixels"


def test_the_rows_of_a_strip_count_but_not_those_below_the_image() -> None:
    assert block_of(opened("RGB", "tiff_deflate", {ROWS: 8})) == Block("strip", 60, 8, 1440.0)
    whole = opened("RGB", "tiff_deflate", {ROWS: 40}, strip_size=2**20)
    whole.tag_v2[ROWS] = 2**32 - 1  # type: ignore[attr-defined]
    assert block_of(whole) == Block("strip", 60, 40, 7200.0)


def test_a_plane_of_its_own_has_one_sample() -> None:
    image = opened("RGB", "tiff_deflate", {ROWS: 40}, strip_size=2**20)
    image.tag_v2[284] = 2  # type: ignore[attr-defined]
    assert block_of(image) == Block("strip", 60, 40, 2400.0)


def test_a_tile_counts_in_full() -> None:
    image = Image.open(io.BytesIO(large_tile(512)))
    assert block_of(image) == Block("tile", 512, 512, 512 * 512 * 3.0)


def test_images_that_libtiff_does_not_decode_have_no_block() -> None:
    assert block_of(opened("RGB", "raw", {})) is None
    assert block_of(Image.open(io.BytesIO(plain("PNG", "RGB", 8, 8)))) is None


@pytest.mark.slow
@pytest.mark.parametrize(("compression", "megabytes"), [("tiff_lzw", 324), ("zstd", 601)])
def test_an_image_in_one_large_strip_is_refused_and_the_strip_is_named(
    compression: str, megabytes: int
) -> None:
    options = {"compression": compression, "strip_size": 2**31 - 1, "tiffinfo": {ROWS: 6800}}
    content = plain("TIFF", "RGB", 6800, 6800, **options)
    expected = (
        rf"^6800 x 6800 pixels with a strip of 6800 x 6800 pixels in a file of {len(content):,} "
        rf"bytes take {megabytes} MB to decode, .*: save the image with smaller strips$"
    )
    with pytest.raises(DecodeError, match=expected):
        decode(content, short_side=256, max_megapixels=50.0)


@pytest.mark.slow
def test_the_tile_is_named_where_it_is_the_reason() -> None:
    with pytest.raises(
        DecodeError, match=r"^16 x 16 pixels with a tile of 8400 x 8400 pixels .*s$"
    ):
        decode(large_tile(8400), short_side=256, max_megapixels=50.0)


@pytest.mark.slow
def test_the_image_is_named_where_smaller_strips_would_not_suffice() -> None:
    content = plain("TIFF", "RGB", 7000, 7000, compression="tiff_lzw", tiffinfo={ROWS: 1})
    with pytest.raises(DecodeError, match=r"^7000 x 7000 pixels in a file .*: shrink the image$"):
        decode(content, short_side=256, max_megapixels=50.0)
