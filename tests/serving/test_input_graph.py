from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from thaw.data.image_reader import ImageReader
from thaw.data.preprocessing import Preprocessing
from thaw.serving.input_graph import InputGraph, reads_all_pixels

SIZES = [(300, 400), (64, 48), (224, 224), (513, 512), (256, 256), (33, 900), (1, 1), (701, 1000)]


def reader(**changes: Any) -> ImageReader:
    values: dict[str, Any] = {
        "short_side": 256,
        "max_megapixels": 100.0,
        "image_size": 96,
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    return ImageReader(Preprocessing(**{**values, **changes}), 100.0)


def photo(height: int, width: int) -> bytes:
    """Return a PNG with edges and areas of noise."""
    generator = np.random.default_rng(height * width)
    coarse = generator.integers(0, 256, (height // 7 + 1, width // 7 + 1, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def photo_jpeg(height: int, width: int) -> bytes:
    """Return :func:`photo` as a JPEG."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo(height, width))).save(buffer, "JPEG")
    return buffer.getvalue()


def difference(read: ImageReader, content: bytes) -> Tensor:
    graph = InputGraph(read.preprocessing).eval()
    computed: Tensor = graph(read.read_original(content))
    return (computed - read.read(content).float()).abs()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("framing", "interpolation", "crop_pct"),
    [("crop", "bicubic", 0.875), ("pad", "bilinear", 1.0), ("squish", "bicubic", 1.0)],
)
def test_an_image_of_any_size_gets_the_pixels_that_the_model_reads(
    size: tuple[int, int], framing: str, interpolation: str, crop_pct: float
) -> None:
    read = reader(framing=framing, interpolation=interpolation, crop_pct=crop_pct)
    moved = difference(read, photo(*size))
    assert float(moved.max()) == 0


@pytest.mark.parametrize("size", [(600, 800), (1100, 700)])
def test_a_large_jpeg_gets_the_pixels_of_a_model_that_decodes_all_of_them(
    size: tuple[int, int],
) -> None:
    content = photo_jpeg(*size)
    assert float(difference(reader(jpeg_pixels="all"), content).max()) == 0
    assert float(difference(reader(jpeg_pixels="reduced"), content).max()) > 2


def test_a_model_that_decodes_a_part_of_large_jpegs_does_not_read_all_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reads(**changes: Any) -> bool:
        return reads_all_pixels(reader(**changes).preprocessing)

    assert reads(jpeg_pixels="all")
    assert not reads(jpeg_pixels="reduced")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert reads(jpeg_pixels="all", interpolation="bicubic")
    assert not reads(jpeg_pixels="all", interpolation="bilinear")


def test_borders_have_the_colour_of_the_model() -> None:
    read = reader(framing="pad", crop_pct=1.0)
    framed = InputGraph(read.preprocessing)(torch.zeros(2, 3, 20, 80, dtype=torch.uint8))
    assert framed.shape == (2, 3, 96, 96)
    assert framed[0, :, 0, 0].tolist() == [124, 116, 104]
    assert framed[1, :, 48, 48].tolist() == [0, 0, 0]


@pytest.mark.soak
@pytest.mark.parametrize("framing", ["crop", "pad", "squish"])
def test_a_thousand_odd_sizes_get_the_pixels_that_the_model_reads(framing: str) -> None:
    generator = np.random.default_rng(0)
    read = reader(framing=framing)
    for height, width in np.exp(generator.uniform(0, 6.5, (350, 2))).astype(int):
        if max(height, width) <= 100 * min(height, width):
            assert float(difference(read, photo(int(height), int(width))).max()) == 0
