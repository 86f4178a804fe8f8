from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, TiffImagePlugin

from tests.data.corpus import Picture, corpus
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import Decoded, decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def read(content: bytes, short_side: int = 256, max_megapixels: float = 100.0) -> Decoded:
    return decode(content, short_side=short_side, max_megapixels=max_megapixels)


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photograph(height: int, width: int) -> Image.Image:
    """Return an image of smooth colours, which JPEG changes little."""
    down, across = np.mgrid[0:height, 0:width]
    pixels = np.stack(
        [255 * down / height, 255 * across / width, 128 + 60 * np.sin(down / 40 + across / 25)], -1
    )
    return Image.fromarray(pixels.astype(np.uint8))


def plain(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (8, 8), colour)


def palette() -> Image.Image:
    """Return an image whose left half is index 0, red, and whose right half is index 1, green."""
    image = Image.fromarray(np.repeat([[0, 1]], 4, axis=1).astype(np.uint8).repeat(8, axis=0))
    image = image.convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    return image


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


# Colours


@pytest.mark.parametrize(("kind", "kept"), [("PNG", "u2"), ("TIFF", "u2"), ("TIFF", "i4")])
def test_a_16_bit_ramp_stays_a_ramp(kind: str, kept: str) -> None:
    steps = np.arange(256)
    ramp = Image.fromarray((steps * 257).reshape(16, 16).astype(kept))
    image = read(encoded(ramp, kind))
    for channel in range(3):
        assert np.array_equal(image.pixels[..., channel].ravel(), steps)
    assert image.conversions == ("16 bits to 8 bits",)


def test_16_bits_are_divided_so_that_white_stays_white() -> None:
    values = np.array([[0, 256, 257, 32768, 65278, 65279, 65535]], np.uint16)
    image = read(encoded(Image.fromarray(values), "PNG"))
    assert image.pixels[0, :, 0].tolist() == [0, 0, 1, 127, 254, 254, 255]


@pytest.mark.parametrize(
    ("ink", "light"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 255, 0), (0, 255, 0)),
        ((255, 255, 0, 0), (0, 0, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 128), (127, 127, 127)),
    ],
)
def test_a_cmyk_jpeg_is_converted_to_its_rgb_colours(
    ink: tuple[int, ...], light: tuple[int, ...]
) -> None:
    image = read(encoded(plain("CMYK", ink), "JPEG", quality=100))
    assert np.abs(image.pixels.astype(int) - light).max() <= 2
    assert image.conversions == ("CMYK to RGB",)


@pytest.mark.parametrize(
    ("rgba", "on_white"),
    [
        ((10, 20, 30, 255), (10, 20, 30)),
        ((10, 20, 30, 0), (255, 255, 255)),
        ((255, 0, 0, 128), (255, 127, 127)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_on_white(
    kind: str, rgba: tuple[int, ...], on_white: tuple[int, ...]
) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    image = read(encoded(plain("RGBA", rgba), kind, **options))
    assert (image.pixels == on_white).all()


def test_a_palette_with_a_transparent_entry_is_composited_on_white() -> None:
    image = read(encoded(palette(), "PNG", transparency=0))
    assert (image.pixels[:, :4] == (255, 255, 255)).all()
    assert (image.pixels[:, 4:] == (0, 255, 0)).all()
    assert image.conversions == ("transparency composited on white",)


def test_grey_with_alpha_is_composited_on_white() -> None:
    assert (read(encoded(plain("LA", (40, 0)), "PNG")).pixels == 255).all()


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (10, 20, 30)), ("L", 40)])
def test_a_colour_that_a_png_declares_transparent_is_composited_on_white(
    mode: str, colour: Any
) -> None:
    image = read(encoded(plain(mode, colour), "PNG", transparency=colour))
    assert (image.pixels == 255).all()
    assert image.conversions == ("transparency composited on white",)


def test_a_palette_without_transparency_has_its_colours() -> None:
    image = read(encoded(palette(), "PNG"))
    assert (image.pixels[:, :4] == (255, 0, 0)).all()
    assert (image.pixels[:, 4:] == (0, 255, 0)).all()


def test_grey_has_three_equal_channels() -> None:
    grey = noise(9, 7)[..., 0]
    image = read(encoded(Image.fromarray(grey), "PNG"))
    assert np.array_equal(image.pixels, np.repeat(grey[..., None], 3, axis=2))
    assert image.conversions == ("grey to RGB",)


def test_one_bit_is_black_and_white() -> None:
    assert (read(encoded(plain("1", 1), "PNG")).pixels == 255).all()
    assert (read(encoded(plain("1", 0), "PNG")).pixels == 0).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_rgb_pixels_are_unchanged(kind: str) -> None:
    pixels = noise(9, 7)
    options = {"lossless": True} if kind == "WEBP" else {}
    image = read(encoded(Image.fromarray(pixels), kind, **options))
    assert np.array_equal(image.pixels, pixels)
    assert (image.width, image.height, image.conversions) == (7, 9, ())


def test_floating_point_pixels_are_refused_with_advice() -> None:
    with pytest.raises(DecodeError, match="save the image with 8 or 16 bits"):
        read(encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_frame_of_an_animation_is_decoded(kind: str) -> None:
    red, blue = plain("RGB", "red"), plain("RGB", "blue")
    image = read(encoded(red, kind, save_all=True, append_images=[blue]))
    assert np.abs(image.pixels.astype(int) - (255, 0, 0)).max() <= 2  # WebP is lossy here
    assert "several frames: the first one taken" in image.conversions


# Orientation

UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: stored[::-1].transpose(1, 0, 2),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_image_is_turned_by_its_exif_orientation(orientation: int) -> None:
    stored = noise(5, 7)
    image = read(encoded(Image.fromarray(stored), "PNG", exif=exif(orientation)))
    upright = UPRIGHT[orientation](stored)
    assert np.array_equal(image.pixels, upright)
    assert (image.height, image.width) == upright.shape[:2]
    assert image.conversions == (() if orientation == 1 else ("rotated as its EXIF tag says",))


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_undefined_exif_orientation_is_ignored(orientation: int) -> None:
    stored = noise(5, 7)
    image = read(encoded(Image.fromarray(stored), "PNG", exif=exif(orientation)))
    assert np.array_equal(image.pixels, stored)
    assert (image.width, image.height) == (7, 5)
    assert image.conversions == ()


def test_an_exif_orientation_that_is_not_a_number_is_ignored() -> None:
    stored = noise(5, 7)
    # A TIFF header, and a directory with one entry of type ASCII.
    entry = struct.pack("<HHI4s", ORIENTATION, 2, 2, b"6\0")
    tags = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    image = read(encoded(Image.fromarray(stored), "PNG", exif=b"Exif\0\0" + tags))
    assert np.array_equal(image.pixels, stored)


def test_a_large_rotated_photograph_is_downsized_and_its_original_size_is_reported() -> None:
    image = read(encoded(photograph(600, 900), "JPEG", exif=exif(6)), short_side=100)
    assert image.pixels.shape == (150, 100, 3)
    assert (image.width, image.height) == (600, 900)


# Size


@pytest.mark.parametrize("shape", [(1000, 1500), (1500, 1000), (801, 799), (2048, 600)])
@pytest.mark.parametrize("short_side", [8, 75, 100, 255, 256, 400, 599])
def test_a_large_jpeg_is_downsized_to_exactly_the_short_side(
    shape: tuple[int, int], short_side: int
) -> None:
    height, width = shape
    image = read(encoded(photograph(height, width), "JPEG"), short_side=short_side)
    assert min(image.pixels.shape[:2]) == short_side
    assert max(image.pixels.shape[:2]) == pytest.approx(
        max(shape) * short_side / min(shape), abs=1.0
    )
    assert (image.height, image.width) == shape


def test_a_jpeg_decoded_at_a_fraction_of_its_size_looks_like_the_full_decode() -> None:
    whole = photograph(1000, 1500)
    quick = read(encoded(whole, "JPEG", quality=95), short_side=100).pixels.astype(int)
    slow = read(encoded(whole, "PNG"), short_side=100).pixels.astype(int)
    assert np.abs(quick - slow).mean() < 2


@pytest.mark.parametrize("options", [{}, {"exif": exif(6)}, {"progressive": True}])
def test_a_jpeg_decoded_with_all_pixels_is_downsized_as_any_other_file(
    options: dict[str, Any],
) -> None:
    content = encoded(Image.fromarray(noise(500, 700)), "JPEG", **options)
    pixels = Image.fromarray(np.asarray(Image.open(io.BytesIO(content))))
    as_png = encoded(pixels, "PNG", **{k: v for k, v in options.items() if k == "exif"})
    found = decode(content, short_side=100, max_megapixels=1.0, jpeg_pixels="all")
    assert np.array_equal(found.pixels, read(as_png, short_side=100).pixels)
    assert not np.array_equal(found.pixels, read(content, short_side=100).pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("shape", [(8, 8), (256, 300), (100, 3000), (1, 40)])
def test_an_image_that_is_not_larger_keeps_its_size(kind: str, shape: tuple[int, int]) -> None:
    assert read(encoded(photograph(*shape), kind)).pixels.shape == (*shape, 3)


def test_a_very_thin_image_is_downsized_to_the_short_side() -> None:
    assert read(encoded(photograph(20, 2000), "PNG"), short_side=8).pixels.shape == (8, 800, 3)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_only_the_first_of_several_frames_is_read(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [plain("RGB", colour) for colour in ("red", "blue", "green", "white")]
    many = encoded(frames[0], kind, save_all=True, append_images=frames[1:])

    def counted(_: Any) -> int:
        raise AssertionError("every frame was looked at")

    for plugin in (GifImagePlugin.GifImageFile, TiffImagePlugin.TiffImageFile):
        monkeypatch.setattr(plugin, "n_frames", property(counted))
    image = read(many)
    assert "several frames: the first one taken" in image.conversions
    assert np.array_equal(image.pixels, read(encoded(frames[0], kind)).pixels)
    assert read(encoded(frames[0], kind)).conversions in {(), ("P to RGB",)}


# Refusals


def claiming(kind: str, width: int, height: int) -> bytes:
    """Return a file of some hundred bytes whose header states ``width`` x ``height``."""
    content = encoded(plain("RGB", "red"), kind)
    if kind == "PNG":
        header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
        return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    if kind == "GIF":
        return content[:6] + struct.pack("<HH", width, height) + content[10:]
    place = content.index(b"\xff\xc0") + 5  # the JPEG's start of frame
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
@pytest.mark.parametrize(
    ("width", "height"), [(10_001, 10_000), (14_000, 14_000), (60_000, 60_000)]
)
def test_too_many_megapixels_are_refused_by_the_header(kind: str, width: int, height: int) -> None:
    content = claiming(kind, width, height)
    assert len(content) < 1000
    with pytest.raises(DecodeError, match=r"than the limit of 100 megapixels: shrink the image$"):
        read(content, max_megapixels=100.0)


def test_the_caller_sets_the_limit_of_megapixels() -> None:
    content = encoded(photograph(100, 101), "PNG")
    with pytest.raises(DecodeError, match=r"101 x 100 pixels, more than .* of 0\.01 mega"):
        read(content, max_megapixels=0.01)
    assert read(content, max_megapixels=0.0101).width == 101


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    content = encoded(Image.fromarray(noise(60, 80)), kind)
    with pytest.raises(DecodeError):
        read(content[: int(len(content) * share)])


def test_a_jpeg_without_its_last_byte_is_refused() -> None:
    with pytest.raises(DecodeError, match="truncated"):
        read(encoded(photograph(60, 80), "JPEG")[:-1])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "the file is empty", id="zero bytes"),
        pytest.param(b"<!DOCTYPE html><html></html>", "not an image", id="HTML"),
        pytest.param(bytes(1000), "not an image", id="zeros"),
        pytest.param(b"\xff\xd8\xff", "cannot be decoded|not an image", id="the start of a JPEG"),
        pytest.param(b"%PDF-1.7\n", "not an image", id="PDF"),
        # Pillow hands EPS to Ghostscript: it must not be tried.
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an", id="EPS"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        read(content)


FLIPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("RGB", {"exif": exif(6)}),
    "PNG with a palette": ("P", {"transparency": 3}),
    "JPEG": ("RGB", {"exif": exif(6)}),
    "JPEG in CMYK": ("CMYK", {}),
    "GIF": ("P", {"save_all": True, "append_images": [plain("RGB", "blue")]}),
    "WEBP": ("RGB", {"exif": exif(6)}),
    "BMP": ("RGB", {}),
    "TIFF": ("RGB", {"exif": exif(6)}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on corrupt EXIF data
@pytest.mark.parametrize("name", FLIPPED)
def test_flipped_bits_never_raise_anything_but_a_decode_error(name: str) -> None:
    mode, options = FLIPPED[name]
    content = encoded(Image.fromarray(noise(24, 24)).convert(mode), name.split()[0], **options)
    generator = np.random.default_rng(0)
    for trial in range(800):
        flipped = bytearray(content)
        # Half of the flips hit the headers, where the trouble is.
        last = len(content) if trial % 2 else min(len(content), 200)
        for place in generator.integers(0, last, generator.integers(1, 4)):
            flipped[place] ^= 1 << generator.integers(0, 8)
        with contextlib.suppress(DecodeError):
            image = read(bytes(flipped), short_side=16)
            assert image.pixels.ndim == 3
            assert image.pixels.dtype == np.uint8


# All kinds of files


@pytest.mark.parametrize("picture", corpus(), ids=lambda picture: picture.name)
def test_a_file_of_each_kind_is_converted_or_refused_with_its_reason(picture: Picture) -> None:
    assert len(picture.content) <= 1e6
    if picture.reason:
        with pytest.raises(DecodeError, match=re.escape(picture.reason)):
            read(picture.content)
    else:
        pixels = read(picture.content).pixels
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        is_flat = picture.name in {"one-pixel.png", "most-elongated.png", "zero.gif"}
        assert np.ptp(pixels) > 60 or is_flat


def test_damaged_metadata_prints_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for picture in corpus():
            if picture.name == "option-damaged-exif.jpeg":
                read(picture.content)
    assert not seen
    assert capsys.readouterr() == ("", "")
