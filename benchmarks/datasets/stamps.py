"""Photographs and some drawings in eleven classes: Debian's package ``tuxpaint-stamps-default``.

Cut-out photographs (and, in folders ``cartoon``, drawings) of things that children stamp into
pictures. The classes are folders of the package; animals are three classes, and letters, coins and
the folders with fewer than 15 images are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.datasets.division import (
    built,
    copy_splits,
    divided,
    image_names,
    near_duplicates,
    write_images,
)
from benchmarks.datasets.packages import Package, unpacked

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = Package(
    "debian",
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
)
# The first prefix of a path that matches gives the class; "" leaves the image out.
CLASSES = {
    "animals/birds": "birds",
    "animals/mammals": "mammals",
    "animals": "other-animals",
    "clothes": "clothes",
    "food": "food",
    "household": "household",
    "plants": "plants",
    "seasonal": "seasonal",
    "space": "space",
    "town": "town",
    "vehicles": "vehicles",
}
ALIKE = 2  # images kept of each group of near-duplicates
_ROOM = {"train": 0.6, "val": 0.15}


def dataset(seed: int) -> Path:
    """Return a folder with ``train/ val/ test/``, each with one folder per class."""
    return built(f"stamps-{seed}", lambda folder: _divide(folder, seed))


def _divide(folder: Path, seed: int) -> None:
    source = built("stamps", _write)
    groups = near_duplicates(source, image_names(source))
    copy_splits(source, divided(groups, _ROOM, seed), folder)


def _write(folder: Path) -> None:
    source = unpacked(PACKAGE) / "usr/share/tuxpaint/stamps"
    chosen = {}
    for path in sorted(source.rglob("*.png")):
        name = path.relative_to(source).as_posix()
        label = next((v for prefix, v in CLASSES.items() if name.startswith(f"{prefix}/")), "")
        if label:
            chosen[path] = label
    write_images(folder, chosen, ALIKE)
