from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from thaw.data.colours import ColourError, conversion_of, has_equal_channels, to_rgb


@pytest.mark.parametrize(
    ("mode", "conversion"),
    [
        ("RGB", None),
        ("L", "grey to RGB"),
        ("1", "grey to RGB"),
        ("I;16", "16 bits to 8 bits"),
        ("I", "16 bits to 8 bits"),
        ("RGBA", "transparency composited on white"),
        ("LA", "transparency composited on white"),
        ("CMYK", "CMYK to RGB"),
        ("P", "P to RGB"),
    ],
)
def test_every_mode_becomes_rgb_under_the_name_of_its_conversion(
    mode: str, conversion: str | None
) -> None:
    image = Image.new(mode, (3, 2))
    assert conversion_of(image) == conversion
    assert to_rgb(image).mode == "RGB"


def test_only_greys_and_16_bits_have_equal_channels() -> None:
    equal = {
        mode: has_equal_channels(Image.new(mode, (3, 2)))
        for mode in ("L", "1", "I;16", "RGB", "RGBA", "LA", "CMYK")
    }
    assert [mode for mode, is_equal in equal.items() if is_equal] == ["L", "1", "I;16"]


def test_a_transparent_pixel_becomes_white() -> None:
    image = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert to_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def test_16_bits_are_divided_by_257() -> None:
    image = Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16))
    assert np.asarray(to_rgb(image))[0, :, 0].tolist() == [0, 1, 255]


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(ColourError, match="floating-point pixels have no defined range"):
        conversion_of(Image.new("F", (3, 2)))
