"""Preprocessing of small test images."""

from __future__ import annotations

from thaw.data.preprocessing import Preprocessing

SMALL = Preprocessing(
    short_side=64,
    max_megapixels=1.0,
    image_size=16,
    crop_pct=1.0,
    interpolation="bilinear",
    mean=(0.5, 0.4, 0.3),
    std=(0.1, 0.2, 0.25),
)
