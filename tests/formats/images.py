"""The images whose probabilities stand in ``expected.json`` of each format."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def images() -> list[bytes]:
    """Return six PNG files of 32 x 40 pixels, the same in every run."""
    generator = np.random.default_rng(7)
    files = []
    for number in range(6):
        pixels = generator.integers(0, 120, (40, 32, 3))
        pixels[..., number % 3] += 100
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
        files.append(stream.getvalue())
    return files
