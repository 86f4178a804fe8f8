"""Tar shards for the tests of ``thaw.ingest``, written by the `webdataset` library."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def png(seed: int, size: int = 10) -> bytes:
    """Return a square image of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_shard(path: Path, samples: list[dict[str, Any]]) -> Path:
    """Write samples with the fields of `webdataset`; return ``path``."""
    from webdataset import TarWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    with TarWriter(str(path)) as writer:
        for sample in samples:
            writer.write(sample)
    return path


def numbered(first: int, count: int, size: int = 10) -> list[dict[str, Any]]:
    """Return samples with square images whose labels are the texts "cat" and "dog" in turn."""
    return [
        {
            "__key__": f"{number:04d}",
            "png": png(number, size),
            "cls": number % 2,
            "txt": ("cat", "dog")[number % 2],
            "json": {"label": {"name": number % 2}, "split": ("train", "val")[number % 3 == 0]},
        }
        for number in range(first, first + count)
    ]
