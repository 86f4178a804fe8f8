"""Image files for the tests of ``thaw.ingest``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.ingest.reading import allowed_of, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.prepare_section import Prepare
    from thaw.ingest.listing import BadFile, Listing
    from thaw.ingest.reading import ReadImage


def save(path: Path, seed: int = 0, size: int = 10) -> Path:
    """Write a square image of random pixels; return ``path``."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def touch(root: Path, *names: str) -> Path:
    """Create empty files: listing does not open them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def read_images(listing: Listing, config: Prepare) -> list[ReadImage | BadFile]:
    """Read every sample of a listing."""
    allowed = allowed_of(listing)
    return [read_image(allowed, config, sample) for sample in listing.samples]
