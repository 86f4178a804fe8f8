from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.label_agreement import compared, odd_file


@pytest.mark.slow
def test_files_have_odd_sizes_in_many_formats_and_are_the_same_every_time() -> None:
    image = Image.new("RGB", (60, 40), "red")
    files = [odd_file(image, number) for number in range(48)]
    assert files == [odd_file(image, number) for number in range(48)]
    opened = [Image.open(io.BytesIO(content)) for content, _ in files]
    assert {found.format for found in opened} == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}
    modes = {"RGB", "L", "RGBA", "P", "CMYK", "LA", "1", "I;16"}
    assert modes <= {found.mode for found in opened}
    assert len({found.size for found in opened}) == 48
    assert len({found.getexif().get(0x0112) for found in opened}) > 5  # orientations
    assert len({np.asarray(found.convert("RGB")).tobytes() for found in opened}) == 48
    shown = [found for found in opened if found.has_transparency_data]
    assert {"RGBA", "LA", "P"} <= {found.mode for found in shown}
    alphas = [np.asarray(found.convert("RGBA"))[..., 3] for found in shown]
    assert all(alpha.min() < 255 for alpha in alphas)


def test_changed_labels_are_counted() -> None:
    trusted = {"a/1": ("a", 0.9), "a/2": ("a", 0.6), "b/3": ("b", 0.5)}
    found = {"a/1": ("a", 0.9), "a/2": ("b", 0.5), "b/3": ("b", 0.52)}
    assert compared(trusted, found) == ["3", "1", "0.1"]
    with pytest.raises(SystemExit, match="1 files are missing, such as b/3"):
        compared(trusted, {name: found[name] for name in ("a/1", "a/2")})
