"""Photographs of smooth noise. This module does not import torch: clients use it, too."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

DISTINCT = 512  # images; others of a large set are the same again


def photograph(seed: int, size: tuple[int, int] = (320, 256)) -> Image.Image:
    """Return an image of smooth noise, ``size`` pixels wide and high."""
    coarse = np.random.default_rng(seed).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_photographs(folder: Path, count: int, size: tuple[int, int] = (320, 256)) -> None:
    """Write JPEG files, ``size`` pixels wide and high; more than ``DISTINCT`` are hard links."""
    folder.mkdir()
    distinct = min(count, DISTINCT)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(_write, folder, size), range(distinct), chunksize=16))
    for number in range(distinct, count):
        _path(folder, number).hardlink_to(_path(folder, number % distinct))


def _write(folder: Path, size: tuple[int, int], number: int) -> None:
    photograph(number, size).save(_path(folder, number), quality=90)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.jpg"
