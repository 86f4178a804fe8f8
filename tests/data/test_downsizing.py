from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from thaw.data.downsizing import upright_pixels


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "RGB", "P"])
@pytest.mark.parametrize("operation", [None, *Image.Transpose])
def test_strips_give_the_pixels_of_the_whole_image(
    mode: str, operation: Image.Transpose | None
) -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 256, (1500, 1100, 4), dtype=np.uint8)
    image = Image.fromarray(values).convert(mode)
    whole = image if operation is None else image.transpose(operation)
    if image.has_transparency_data:
        white = Image.new("RGBA", whole.size, "white")
        whole = Image.alpha_composite(white, whole.convert("RGBA"))
    whole = whole.convert("RGB")
    scale = 100 / min(whole.size)
    size = round(whole.width * scale), round(whole.height * scale)
    rows = whole.resize((size[0], whole.height), Image.Resampling.BICUBIC)
    expected = np.asarray(rows.resize(size, Image.Resampling.BICUBIC))
    assert np.array_equal(upright_pixels(image, operation, 100), expected)


def test_a_small_image_keeps_its_size() -> None:
    image = Image.new("L", (30, 20), 7)
    assert upright_pixels(image, Image.Transpose.ROTATE_90, 100).shape == (30, 20, 3)
