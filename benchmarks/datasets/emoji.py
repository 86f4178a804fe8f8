"""Icons of another vendor than those trained on: emojis in the npm packages ``emoji-datasource-*``.

The classes are Unicode's categories. Training and validation images are drawn by Google, test
images by Twitter, and no emoji is in two splits. Flags and skin tones are left out.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.datasets.division import built, copy_splits, divided, image_names, rank
from benchmarks.datasets.packages import Package, unpacked

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = "16.0.0"
PACKAGES = {
    "google": Package(
        "npm",
        "emoji-datasource-google",
        _VERSION,
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    ),
    "twitter": Package(
        "npm",
        "emoji-datasource-twitter",
        _VERSION,
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    ),
}
CATEGORIES = {
    "Activities": "activities",
    "Animals & Nature": "nature",
    "Food & Drink": "food",
    "Objects": "objects",
    "People & Body": "people",
    "Smileys & Emotion": "smileys",
    "Symbols": "symbols",
    "Travel & Places": "travel",
}
MOST = 120  # emojis of a category: the first ones in the order of a hash of their code points
_ROOM = {"train": 0.5, "val": 0.15}


def dataset(seed: int) -> Path:
    """Return a folder with ``train/ val/ test/``, each with one folder per category."""
    return built(f"emoji-{seed}", lambda folder: _divide(folder, seed))


def _divide(folder: Path, seed: int) -> None:
    sources = {vendor: built(f"emoji-{vendor}", partial(_write, vendor)) for vendor in PACKAGES}
    # Variants of an emoji (man, woman, person) start with the same code point.
    groups = {
        name: name.split("/")[1].removesuffix(".png").split("-")[0]
        for name in image_names(sources["google"])
    }
    splits = divided(groups, _ROOM, seed)
    for vendor, drawn in (("google", ("train", "val")), ("twitter", ("test",))):
        part = {name: split for name, split in splits.items() if split in drawn}
        copy_splits(sources[vendor], part, folder)


def _write(vendor: str, folder: Path) -> None:
    """Write ``LABEL/CODE-POINTS.png`` of each emoji that both vendors have."""
    package = unpacked(PACKAGES[vendor]) / "package"
    taken: Counter[str] = Counter()
    emojis = json.loads((package / "emoji.json").read_text())
    for emoji in sorted(emojis, key=lambda found: rank(found["unified"])):
        label = CATEGORIES.get(emoji["category"])
        drawn = all(emoji[f"has_img_{name}"] for name in PACKAGES)
        if label is None or not drawn or taken[label] == MOST:
            continue
        taken[label] += 1
        place = folder / label / f"{emoji['unified'].lower()}.png"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(package / "img" / vendor / "64" / emoji["image"], place)
