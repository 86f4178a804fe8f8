from __future__ import annotations

import hashlib
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

from tests.data.peak import PREPROCESSING, measured, rise
from tests.data.pictures import ORIENTATION, encoded, noise, plain
from thaw.data import decoding, downsizing
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.limits import MOST_PIXELS, STRIP_PIXELS

MOST_MEGABYTES = 300

# Digests of the pixels as decoded by a version that turned and converted whole images, and resized
# their rows first. (Pillow 13 alone resizes the columns of some tall images first.)
GOLDEN = {
    ("PNG", "RGB", None): "e49df9cc262a9f10",
    ("PNG", "L", None): "a68752a27c442925",
    ("PNG", "RGBA", None): "f8b872fc8df64e17",
    ("PNG", "LA", None): "3d88b722e18caae1",
    ("PNG", "P", None): "8447b6c16c5f0a24",
    ("PNG", "1", None): "dcb41bab0409581d",
    ("PNG", "I;16", None): "1e48e6fdd17abd45",
    ("PNG", "P", 7): "a25f62347aa123e3",
    ("PNG", "L", 9): "37288b996fce9e0e",
    ("TIFF", "CMYK", None): "a5b3c76a36ad2086",
    ("TIFF", "RGB", None): "736cad3d884d9cb8",
    ("TIFF", "I;16", None): "c1e2e46a94842ef1",
    ("GIF", "P", 3): "377337ef8dc74854",
    ("BMP", "RGB", None): "9fa174e8cdd00962",
}
SHAPES = [(37, 53), (400, 700), (1500, 40), (60, 2000)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "strip", [2**12, pytest.param(STRIP_PIXELS, marks=pytest.mark.soak)], ids=["small", "default"]
)
@pytest.mark.parametrize("case", GOLDEN)
def test_pixels_decoded_in_strips_are_bit_for_bit_those_of_whole_images(
    case: tuple[str, str, int | None], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downsizing, "STRIP_PIXELS", strip)
    kind, mode, transparency = case
    digest = hashlib.sha256()
    turns = (0,) if kind in {"GIF", "BMP"} else (0, 3, 5, 6, 7, 8)  # these two formats have no EXIF
    for shape, turn, side in product(SHAPES, turns, (32, 256)):
        content = encoded(kind, mode, shape, turn, transparency)
        image = decode(content, short_side=side, max_megapixels=100.0)
        about = (image.pixels.shape, image.width, image.height, image.conversions)
        digest.update(repr(about).encode() + image.pixels.tobytes())
    assert digest.hexdigest()[:16] == GOLDEN[case]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "crop_pct", "shape"),
    [
        # resized as a whole
        (224, 0.875, (256, 384)),
        (224, 0.875, (256, 256)),
        (224, 1.0, (500, 281)),
        (32, 1.0, (8, 8)),
        # resized in parts
        (224, 0.875, (256, 25_600)),
        (224, 0.875, (20_000, 256)),
        (224, 0.875, (1, 100)),
        (224, 0.875, (99, 1)),
        (384, 1.0, (3, 299)),
        (64, 0.02, (30, 50)),
    ],
)
def test_resizing_in_parts_gives_the_bits_of_resizing_the_whole_image(
    mode: str, size: int, crop_pct: float, shape: tuple[int, int]
) -> None:
    pixels = noise(*shape, 3)
    changes = {"image_size": size, "crop_pct": crop_pct, "interpolation": mode}
    scale = round(size / crop_pct) / min(shape)
    whole = resize(
        torch.from_numpy(pixels).permute(2, 0, 1)[None],
        [max(size, round(side * scale)) for side in shape],
        interpolation=InterpolationMode(mode),
        antialias=True,
    )
    found = PREPROCESSING.model_copy(update=changes).resize([pixels])
    expected = center_crop(whole, [size, size])
    if mode == "bilinear" and "AVX" not in torch.backends.cpu.get_cpu_capability():
        assert (found.int() - expected.int()).abs().max() <= 1
    else:
        assert torch.equal(found, expected)


def test_many_images_of_one_shape_are_resized_in_parts_to_the_same_bits() -> None:
    images = [noise(8, 40 + seed % 2, 3) for seed in range(150)]
    assert 256 * 1280 * len(images) / 2 > MOST_PIXELS
    together = PREPROCESSING.resize(images)
    for place in (0, 1, 77, 149):
        assert torch.equal(PREPROCESSING.resize([images[place]])[0], together[place])


# Refusals


@pytest.mark.parametrize(("width", "height"), [(1, 101), (10_100, 100), (40, 4001), (200_000, 1)])
def test_an_image_that_is_too_elongated_is_refused(width: int, height: int) -> None:
    said = rf"{width} x {height} pixels: one side is more than 100 times the other"
    with pytest.raises(DecodeError, match=said):
        decode(plain("PNG", "L", width, height), short_side=256, max_megapixels=100.0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_the_longest_shape_that_is_accepted_can_be_decoded_and_resized(kind: str) -> None:
    content = plain(kind, "RGB", 100 * 60, 60)
    image = decode(content, short_side=48, max_megapixels=100.0)
    assert image.pixels.shape == (48, 4800, 3)
    assert PREPROCESSING.resize([image.pixels]).shape == (1, 3, 224, 224)


def test_a_lack_of_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decoding, "_convert", fail)
    with pytest.raises(DecodeError, match="not enough memory"):
        decode(plain("PNG", "L", 8, 8), short_side=256, max_megapixels=100.0)


# Memory

linux = pytest.mark.skipif(sys.platform != "linux", reason="measures memory through /proc")


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    ("width", "height"),
    [
        (1, 200_000),
        (256, 25_600),
        *(
            pytest.param(*shape, marks=pytest.mark.soak)
            for shape in (
                (1, 30_000),
                (200_000, 1),
                (1, 1_000_000),
                (40_000_000, 1),
                (300_000, 256),
                (90_000, 1000),
                (25_600, 256),
            )
        ),
    ],
)
def test_a_thin_image_takes_little_memory(width: int, height: int) -> None:
    megabytes, said = measured(plain("PNG", "L", width, height))
    assert megabytes < MOST_MEGABYTES
    refused = max(width, height) > 100 * min(width, height)
    assert ("more than 100 times" in said) == refused
    assert refused or said == "(1, 3, 224, 224)"


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    ("kind", "mode", "orientation"),
    [
        ("PNG", "P", 8),
        ("JPEG", "RGB", 6),
        *(
            pytest.param(*case, marks=pytest.mark.soak)
            for case in (
                ("PNG", "RGB", 0),
                ("PNG", "RGB", 6),
                ("PNG", "RGBA", 0),
                ("PNG", "I;16", 0),
                ("PNG", "L", 3),
                ("TIFF", "CMYK", 0),
                ("GIF", "P", 0),
            )
        ),
    ],
)
def test_50_megapixels_take_little_more_memory_than_the_image_in_pillow(
    kind: str, mode: str, orientation: int
) -> None:
    options: dict[str, Any] = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][ORIENTATION] = orientation
    content = plain(kind, mode, 7071, 7071, **options)
    assert len(content) < 1e6
    megabytes, said = measured(content)
    assert said == "(1, 3, 224, 224)"
    assert megabytes < MOST_MEGABYTES


@linux
@pytest.mark.parametrize("shape", [(1, 1_000_000), (1_000_000, 1), (256, 60_000)])
def test_a_thin_image_in_an_older_pack_takes_little_memory(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), (10, 128, 250), np.uint8)
    found: list[torch.Tensor] = []
    assert rise(lambda: found.append(PREPROCESSING.resize([pixels]))) < MOST_MEGABYTES
    assert (found[0] == torch.tensor([10, 128, 250]).view(1, 3, 1, 1)).all()
