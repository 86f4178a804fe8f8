from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from thaw.evaluation.page.thumbnails import IMAGE, data_address


def decoded(address: str) -> Image.Image:
    assert address.startswith(IMAGE)
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix(IMAGE)))).convert("RGB")


def test_a_large_image_is_made_smaller_and_keeps_its_proportions() -> None:
    pixels = np.full((400, 800, 3), 90, dtype=np.uint8)
    image = decoded(data_address(pixels, side=100))
    assert image.size == (100, 50)
    assert np.abs(np.asarray(image).astype(int) - 90).max() <= 2


def test_a_tiny_image_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(decoded(data_address(pixels))), pixels)
