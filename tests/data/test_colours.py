from __future__ import annotations

import pytest
from PIL import Image

from thaw.data.colours import conversion_of, has_equal_channels, to_rgb


@pytest.mark.parametrize(
    ("mode", "conversion"),
    [
        ("RGB", None),
        ("L", "grey to RGB"),
        ("1", "grey to RGB"),
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


def test_only_greys_have_equal_channels() -> None:
    equal = {
        mode: has_equal_channels(Image.new(mode, (3, 2)))
        for mode in ("L", "1", "RGB", "RGBA", "LA", "CMYK")
    }
    assert [mode for mode, is_equal in equal.items() if is_equal] == ["L", "1"]


def test_a_transparent_pixel_becomes_white() -> None:
    image = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert to_rgb(image).getpixel((0, 0)) == (255, 255, 255)
