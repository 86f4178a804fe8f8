"""A data set with a distribution shift: half of the validation and test digits are recoloured.

Training has 60 unchanged images per class, validation 15, and test all others. In validation and
test every second image is changed: black becomes a random colour of at most 0.4 in each channel
(range 0..1), white one of at least 0.6, and Gaussian noise with standard deviation 0.1 is added.
Colours and noise depend only on (seed, image).
"""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.datasets.packages import CACHE, empty
from thaw.ingest.sources import write_digits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ROOM = {"train": 60, "val": 15}
_NOISE = 0.1


def dataset(seed: int) -> Path:
    """Return a folder with ``train/ val/ test/``, each with one folder per digit."""
    target = CACHE / f"digits-shifted-{seed}"
    if not target.is_dir():
        part = empty(target.with_suffix(".part"))
        digits = empty(CACHE / "digits")
        write_digits(digits)
        paths = sorted(digits.rglob("*.png"))
        order = np.random.default_rng(seed).permutation(len(paths))
        counts: Counter[tuple[str, str]] = Counter()
        for path in (paths[place] for place in order):
            label = path.parent.name
            split = next((s for s, room in _ROOM.items() if counts[s, label] < room), "test")
            counts[split, label] += 1
            place = part / split / label / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if split != "train" and counts[split, label] % 2:
                Image.fromarray(recolour(np.asarray(Image.open(path)), seed, path.stem)).save(place)
            else:
                shutil.copy(path, place)
        part.rename(target)
    return target


def recolour(pixels: NDArray[np.uint8], seed: int, name: str) -> NDArray[np.uint8]:
    """Return a grey image (H, W) as (H, W, 3) in two random colours, with noise."""
    generator = np.random.default_rng([seed, int(name)])
    dark, bright = generator.uniform(0.0, 0.4, 3), generator.uniform(0.6, 1.0, 3)
    values = dark + pixels[..., None] / 255 * (bright - dark)
    values = values + generator.normal(0.0, _NOISE, values.shape)
    return np.asarray((values.clip(0, 1) * 255).round(), dtype=np.uint8)
