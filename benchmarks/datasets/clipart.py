"""A data set of free images with eight classes: Debian's package ``openclipart-png``.

The package is downloaded once into a folder that git ignores. The variant ``few`` has 30 training
and 10 validation images per class, and tests on all others. ``all`` has 60 % training, 10 %
validation and 30 % test images. Both are ``train/ val/ test/`` folders. The seed draws the split,
and near-duplicates stay in one split.

    python -m benchmarks.datasets.clipart    download the package, write and count the images
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import parser
from benchmarks.datasets.division import (
    NEAR,
    built,
    copy_splits,
    divided,
    image_names,
    near_duplicates,
    rank,
)
from benchmarks.datasets.packages import Package, unpacked
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.ingest.duplicates import difference_hash, near_groups

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Variant = Literal["few", "all"]

SUBJECTS = (
    "animals", "buildings", "food", "people", "plants", "recreation", "tools", "transportation",
)  # fmt: skip
CAP = 280  # images per class
ALIKE = 3  # images kept of each group of near-duplicates, such as the many playing cards
_FEW = {"train": 30, "val": 10}
_ALL = {"train": 0.6, "val": 0.1}
_SHORT_SIDE = 128
_LEAST_SIDE = 32
_MOST_MEGAPIXELS = 50.0
PACKAGE = Package(
    "debian",
    "openclipart-png",
    "1:0.18+dfsg-19",
    "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    url="http://deb.debian.org/debian/pool/main/o/openclipart/openclipart-png_0.18+dfsg-19_all.deb",
)


def dataset(variant: Variant, seed: int) -> Path:
    """Return a folder with ``train/ val/ test/``, each with one folder per subject."""
    return built(f"clipart-{variant}-{seed}", partial(_write_splits, variant, seed))


def _write_splits(variant: Variant, seed: int, folder: Path) -> None:
    source = images()
    copy_splits(source, divide(source, variant, seed), folder)


def divide(source: Path, variant: Variant, seed: int) -> dict[str, str]:
    """Return the split of each image below ``source``."""
    groups = near_duplicates(source, image_names(source))
    return divided(groups, _FEW if variant == "few" else _ALL, seed)


def images() -> Path:
    """Return a folder with one folder per subject, of at most ``CAP`` images each.

    The images have a white background and a shorter side of 128 pixels.
    """
    return built("clipart", _write_images)


def _write_images(folder: Path) -> None:
    source = fetch()
    for path, name in chosen(source).items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        _pixels(path).save(place)


def chosen(source: Path) -> dict[Path, str]:
    """Return the selected files with their names ``SUBJECT/DIGEST.png``.

    Images are left out that cannot be decoded, are tiny or huge, repeat another image, belong to
    two subjects, or exceed ``ALIKE`` in a group of near-duplicates. A hash of the pixels decides
    the order of selection.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    hashes: dict[str, int | None] = {}
    for path in sorted(p for subject in SUBJECTS for p in (source / subject).rglob("*.png")):
        try:
            pixels = np.asarray(_pixels(path))
        except DecodeError:
            continue
        if min(pixels.shape[:2]) >= _LEAST_SIDE:
            digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
            found[digest].append(path)
            hashes[digest] = difference_hash(pixels)
    near = dict(zip(hashes, near_groups(list(hashes), list(hashes.values()), NEAR), strict=True))
    taken: Counter[str] = Counter()
    result = {}
    for digest in sorted(found, key=rank):
        subjects = {path.relative_to(source).parts[0] for path in found[digest]}
        subject = min(subjects)
        if len(subjects) > 1 or taken[subject] >= CAP or taken[near[digest]] >= ALIKE:
            continue
        taken.update([subject, near[digest]])
        result[found[digest][0]] = f"{subject}/{digest[:16]}.png"
    return result


def fetch() -> Path:
    """Return the package's folder of subjects; download and unpack it if it is missing."""
    return unpacked(PACKAGE) / "usr/share/openclipart/png"


def _pixels(path: Path) -> Image.Image:
    content = path.read_bytes()
    decoded = decode(content, short_side=_SHORT_SIDE, max_megapixels=_MOST_MEGAPIXELS)
    return Image.fromarray(decoded.pixels)


def main() -> None:
    """Download the package, write the images, and print their numbers."""
    parser(__doc__).parse_args()
    source = images()
    table = Table(title="clip art, images a class")
    for name in ("class", "images", "few: train / val / test", "all: train / val / test"):
        table.add_column(name)
    counts: dict[str, Mapping[tuple[str, str], int]] = {}
    for variant in ("few", "all"):
        found = divide(source, variant, 0)
        counts[variant] = Counter((path.split("/")[0], split) for path, split in found.items())
    for label in SUBJECTS:
        cells = [
            " / ".join(str(counts[variant][label, split]) for split in ("train", "val", "test"))
            for variant in ("few", "all")
        ]
        table.add_row(label, str(len(list((source / label).iterdir()))), *cells)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
