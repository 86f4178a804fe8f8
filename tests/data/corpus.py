"""Image files of many kinds: good, odd, damaged, hostile."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, features

from tests.data.deep_pictures import DEFLATE, chunk, png_16, tiff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ORIENTATION = 0x0112
_SIZE = (48, 36)  # width and height


@dataclass(frozen=True)
class Picture:
    """A file of the corpus: ``name`` with its extension; ``reason`` is a part of the reason why
    it is refused, empty where it is accepted.
    """

    name: str
    content: bytes
    reason: str = ""


@cache
def corpus() -> tuple[Picture, ...]:
    """Return a file of each kind; none is larger than 1 MB. Those with many pixels are `bombs`."""
    return (
        *_modes(),
        *_orientations(),
        *_deep(),
        *_several_frames(),
        *_damaged(),
        *_other_files(),
        *_headers(),
    )


def pixels(seed: int = 0, size: tuple[int, int] = _SIZE) -> NDArray[np.uint8]:
    """Return a smooth random RGB image, (H, W, 3): JPEG changes it little."""
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC))


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return ``image`` as a file of the format ``kind``."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _photo(seed: int = 0) -> Image.Image:
    return Image.fromarray(pixels(seed))


def _modes() -> Iterator[Picture]:
    """Formats, modes and options of 8 bits per sample that are accepted."""
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB", "CMYK"),
        "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"),
        "BMP": ("1", "L", "P", "RGB", "RGBA"),
        "GIF": ("1", "L", "P", "RGB", "RGBA"),
        "WEBP": ("L", "RGB", "RGBA"),
    }
    number = 0
    for kind, names in modes.items():
        for mode in names:
            number += 1
            image = _photo(number).convert("RGB")
            image = image.convert(mode) if mode != "LAB" else image.convert("YCbCr")
            yield Picture(f"mode-{kind}-{mode}.{kind.lower()}", save(image, kind))
    for number, (name, kind, options) in enumerate(_options()):
        yield Picture(f"option-{name}.{kind.lower()}", save(_photo(100 + number), kind, **options))
    palette = _photo(90).convert("P")
    for name, transparency in (("entry", 3), ("table", bytes(range(256)))):
        content = save(palette, "PNG", transparency=transparency)
        yield Picture(f"palette-transparent-{name}.png", content)
    for bits in (1, 2, 4):
        yield Picture(f"palette-{bits}-bits.png", save(palette.quantize(2**bits), "PNG", bits=bits))
    yield Picture("transparent-colour.png", save(_photo(91), "PNG", transparency=(1, 2, 3)))
    yield Picture("transparent-grey.png", save(_photo(92).convert("L"), "PNG", transparency=7))
    yield Picture("wrong-extension.jpg", save(_photo(93), "PNG"))
    yield Picture("wrong-extension.png", save(_photo(94), "JPEG"))
    yield Picture("no-extension", save(_photo(95), "PNG"))
    yield Picture("UPPER.PNG", save(_photo(96), "PNG"))
    yield Picture("one-pixel.png", save(Image.new("RGB", (1, 1), (5, 200, 9)), "PNG"))
    yield Picture("most-elongated.png", save(Image.new("RGB", (100, 1), (9, 20, 9)), "PNG"))


def _options() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for quality in (1, 30, 75, 95, 100):
        yield f"quality-{quality}", "JPEG", {"quality": quality}
    for subsampling in (0, 1, 2):
        yield f"subsampling-{subsampling}", "JPEG", {"subsampling": subsampling}
    yield "progressive", "JPEG", {"progressive": True}
    yield "optimized", "JPEG", {"optimize": True}
    yield "restart", "JPEG", {"restart_marker_rows": 1}
    yield "comment", "JPEG", {"comment": b"c" * 60_000}
    yield "profile", "JPEG", {"icc_profile": b"not a profile"}
    yield "damaged-exif", "JPEG", {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"}
    yield "profile", "PNG", {"icc_profile": b"not a profile"}
    for level in (0, 9):
        yield f"level-{level}", "PNG", {"compress_level": level}
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate"):
        yield f"{compression}", "TIFF", {"compression": compression}
    yield "strips", "TIFF", {"strip_size": 200}
    yield "big", "TIFF", {"big_tiff": True}
    yield "lossless", "WEBP", {"lossless": True}
    yield "quality-1", "WEBP", {"quality": 1}
    yield "interlaced", "GIF", {"interlace": True}


def _orientations() -> Iterator[Picture]:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535):
            tags = Image.Exif()
            tags[ORIENTATION] = orientation
            content = save(_photo(200 + orientation % 50), kind, exif=tags)
            yield Picture(f"orientation-{kind}-{orientation}.{kind.lower()}", content)


def _deep() -> Iterator[Picture]:
    """Images of more than 8 bits per sample."""
    grey = np.linspace(0, 65535, 36 * 48).reshape(36, 48)
    for channels in (1, 2, 3, 4):
        opaque = grey * 0 + 65535
        bands = [grey, grey[::-1], grey[:, ::-1]][: channels if channels % 2 else channels - 1]
        values = np.stack([*bands, opaque][:channels], -1)
        yield Picture(f"deep-png-{channels}.png", png_16(values))
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        for compression in (1, DEFLATE):
            name = f"deep-{'little' if order == '<' else 'big'}-{compression}"
            for kind in ("u2", "i4", *(["u4"] if order == "<" else [])):
                content = tiff(grey.astype(kind), order=order, compression=compression)
                yield Picture(f"{name}-{kind}.tif", content)
            signed = tiff((grey - 1000).astype("i4"), order=order, compression=compression)
            yield Picture(f"{name}-negative.tif", signed, "values from -1000 to 64535")
            large = tiff((grey * 2).astype("i4"), order=order, compression=compression)
            yield Picture(f"{name}-large.tif", large, "values from 0 to 131070")
            real = tiff(grey.astype("f4"), order=order, compression=compression)
            yield Picture(f"{name}-float.tif", real, "floating-point pixels")
            colours = np.stack([grey, grey[::-1], grey], -1).astype("u2")
            content = tiff(colours, order=order, compression=compression)
            yield Picture(f"{name}-colours.tif", content)
    yield Picture("deep-double.tif", tiff(grey.astype("f8")), "unknown pixel mode")
    yield Picture("deep-white-is-zero.tif", tiff(grey.astype("u2"), photometric=0))
    packed = np.arange(36 * 72, dtype=np.uint8).reshape(36, 72)
    yield Picture("deep-12-bits.tif", tiff(packed, bits=12))


def _several_frames() -> Iterator[Picture]:
    frames = [_photo(seed) for seed in (300, 301, 302)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        content = save(frames[0], kind, save_all=True, append_images=frames[1:])
        yield Picture(f"frames-{kind}.{kind.lower()}", content)
    content = save(frames[0], "MPO", save_all=True, append_images=frames[1:])
    yield Picture("frames-MPO.jpg", content)


def _damaged() -> Iterator[Picture]:
    """Truncated files, files with zeros, and files with other bytes after their end."""
    kinds: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95}, "PNG": {}, "WEBP": {}, "BMP": {}, "TIFF": {}, "GIF": {},
    }  # fmt: skip
    for number, (kind, options) in enumerate(kinds.items()):
        content = save(_photo(400 + number), kind, **options)
        extension = kind.lower()
        for share in (0.5, 0.9):
            cut = content[: int(len(content) * share)]
            yield Picture(f"truncated-{share}.{extension}", cut, "cannot be decoded")
        reason = "cannot be decoded" if kind == "JPEG" else "damaged or unknown header"
        yield Picture(f"header-only.{extension}", content[:12], reason)
        yield Picture(f"bytes-after-the-end.{extension}", content + b"\0more" * 10)
    content = save(_photo(410), "PNG")
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    yield Picture("flipped.png", bytes(flipped), "cannot be decoded")
    yield Picture("wrong-checksum.png", content[:29] + bytes(4) + content[33:], "checksum")
    yield Picture("without-end.png", content[:-12])


def _other_files() -> Iterator[Picture]:
    """Files that are no images, or of formats that are not read."""
    yield Picture("empty.jpg", b"", "the file is empty")
    yield Picture("zeros.jpg", bytes(5000), "only zero bytes")
    yield Picture(
        "page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "not an image: an HTML page"
    )
    yield Picture("page-with-space.png", b"\n\n  <HTML lang='en'>", "not an image: an HTML page")
    yield Picture("error.jpg", b'{"error": "not found"}', "not an image: text")
    yield Picture("text.png", b"this is no image", "not an image: text")
    yield Picture("drawing.svg", b'<?xml version="1.0"?><svg xmlns="x"></svg>', "SVG")
    yield Picture("pointer.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                  "not an image: a pointer of Git LFS")  # fmt: skip
    yield Picture("document.jpg", b"%PDF-1.7\n%\xe2\xe3", "not an image: a PDF document")
    yield Picture("archive.png", b"PK\x03\x04" + bytes(60), "not an image: a ZIP archive")
    yield Picture("compressed.png", b"\x1f\x8b\x08" + bytes(60), "not an image: a gzip archive")
    yield Picture("video.jpg", b"\0\0\0\x18ftypmp42" + bytes(60), "not an image: a video (MP4)")
    yield Picture("phone.heic", b"\0\0\0\x18ftypheic" + bytes(60), "HEIC")
    yield Picture("noise.jpg", np.random.default_rng(0).bytes(3000), "not an image")
    for kind, extension in (("ICO", "ico"), ("TGA", "tga"),
                            ("PPM", "ppm"), ("PCX", "pcx"), ("ICNS", "icns")):  # fmt: skip
        yield Picture(f"format.{extension}", save(_photo(420), kind), "not an image")
    for kind in ("AVIF", "JPEG2000"):
        if features.check(kind.lower().replace("g2", "g_2").replace("jpeg", "jpg")):
            yield Picture(f"format.{kind.lower()}", save(_photo(421), kind), "convert it to JPEG")


def _png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def _headers() -> Iterator[Picture]:
    """Files whose header states odd sizes."""
    yield Picture("zero-wide.png", _png_header(0, 10), "0 x 10 pixels")
    yield Picture("zero-high.png", _png_header(10, 0), "10 x 0 pixels")
    yield Picture("zero.png", _png_header(0, 0), "0 x 0 pixels")
    yield Picture("1-wide.png", _png_header(1, 2**31 - 1), "1 x 2147483647 pixels: one side")
    yield Picture("1-high.png", _png_header(2**31 - 1, 1), "2147483647 x 1 pixels: one side")
    yield Picture("largest.png", _png_header(2**31 - 1, 2**31 - 1), "more than the limit of")
    yield Picture("too-wide.png", _png_header(2**32 - 1, 7), "4294967295 x 7 pixels")
    yield Picture("16-bits-large.png", _png_header(20_000, 20_000, 16), "more than the limit of")
    yield Picture("101-wide.png", _png_header(101, 1), "101 x 1 pixels: one side")
    yield Picture("odd-depth.png", _png_header(9, 9, 3), "damaged or unknown header")
    yield Picture("odd-colours.png", _png_header(9, 9, 8, 5), "damaged or unknown header")
    bmp = save(_photo(500), "BMP")
    yield Picture("zero-wide.bmp", bmp[:18] + struct.pack("<i", 0) + bmp[22:], "0 x 36 pixels")
    large = bmp[:18] + struct.pack("<ii", 2**31 - 1, 2**30) + bmp[26:]
    yield Picture("large.bmp", large, "more than the limit of")
    gif = save(_photo(501), "GIF")
    yield Picture("zero.gif", gif[:6] + bytes(4) + gif[10:], "")
    yield Picture("large.gif", gif[:6] + b"\xff\xff\xff\xff" + gif[10:], "more than the limit of")


def bombs(side: int = 9_900) -> Iterator[Picture]:
    """Yield files of up to 1 MB with ``side`` x ``side`` pixels of one colour."""
    size, reason = (side, side), "MB to decode"
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"):
        content = save(Image.new(mode, size), "PNG")
        yield Picture(f"bomb-{mode.replace(';', '-')}.png", content, reason)
    for mode in ("L", "RGB"):
        content = save(Image.new(mode, size), "JPEG", progressive=True, quality=10)
        # The grey one needs 2.1 bytes per pixel: less than the limit at the size of the file.
        yield Picture(f"bomb-progressive-{mode}.jpeg", content, reason)
    yield Picture("bomb.webp", save(Image.new("RGB", size), "WEBP", lossless=True), reason)
    yield Picture("bomb.gif", save(Image.new("P", size), "GIF"), reason)
    for mode in ("1", "L", "RGB", "CMYK", "I;16", "F"):
        content = save(Image.new(mode, size), "TIFF", compression="tiff_deflate")
        yield Picture(f"bomb-{mode.replace(';', '-')}.tiff", content, reason)
    yield Picture("bomb-tile.tiff", large_tile(side), reason)


def large_tile(side: int) -> bytes:
    """Return a TIFF of 16 x 16 pixels whose tile has ``side`` x ``side`` RGB pixels."""
    packer = zlib.compressobj(9)
    row = bytes(3 * side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    numbers = {256: 16, 257: 16, 259: DEFLATE, 262: 2, 277: 3, 322: side, 323: side, 324: 8,
               325: len(data)}  # fmt: skip
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items()}
    directory = 8 + len(data)
    after = directory + 2 + 12 * (len(entries) + 1) + 4
    entries[258] = struct.pack("<HHII", 258, 3, 3, after)
    table = b"".join(entries[tag] for tag in sorted(entries))
    header = b"II*\0" + struct.pack("<I", directory)
    return header + data + struct.pack("<H", len(entries)) + table + bytes(4) + b"\x08\0" * 3
