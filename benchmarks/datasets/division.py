"""Divide labelled images into splits; groups of near-duplicates stay in one split."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.datasets.packages import CACHE, empty
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.ingest.duplicates import difference_hash, near_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Images of a class, in splits by their order: a share of the class, or a number.
NEAR = 5  # bits, as `prepare.near_duplicates`
_MOST_MEGAPIXELS = 50.0
_SHORT_SIDE = 256


def divided(
    groups: Mapping[str, str], room: Mapping[str, float], seed: int, rest: str = "test"
) -> dict[str, str]:
    """Return the split of each image ``LABEL/NAME``; ``groups`` has the group of each.

    ``room`` gives the size of each split but ``rest`` in every class: a number of images from 1 on,
    or a share of the class below 1. Groups are taken in the order of a hash of (seed, group). A
    group goes to the first split that has room in the classes of all its images.
    """
    totals = Counter(path.split("/")[0] for path in groups)
    left: dict[tuple[str, str], float] = {
        (split, label): size if size >= 1 else round(total * size)
        for split, size in room.items()
        for label, total in totals.items()
    }
    members = defaultdict(list)
    for path in sorted(groups):
        members[groups[path]].append(path)
    splits: dict[str, str] = {}
    for group in sorted(members, key=lambda name: rank(f"{seed}:{name}")):
        wanted = Counter(path.split("/")[0] for path in members[group])
        fits = (s for s in room if all(left[s, c] >= n for c, n in wanted.items()))
        place = next(fits, rest)
        for label, count in wanted.items():
            left[place, label] = left.get((place, label), 0) - count
        splits |= dict.fromkeys(members[group], place)
    return splits


def near_duplicates(source: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the group of near-duplicates of each image ``source / path``."""
    hashes = [difference_hash(np.asarray(Image.open(source / path))) for path in paths]
    return dict(zip(paths, near_groups(paths, hashes, NEAR), strict=True))


def write_images(source: Path, chosen: Mapping[Path, str], most_alike: int) -> None:
    """Write each file of ``chosen`` as RGB to ``source / LABEL / DIGEST.png``, by its label.

    Files that cannot be decoded and repetitions of the same pixels are left out, all of them if
    they have several labels; of a group of near-duplicates, ``most_alike`` images are kept.
    Transparent pixels become white, and the shorter side has at most 256 pixels.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    pixels: dict[str, NDArray[np.uint8]] = {}
    for path, label in chosen.items():
        try:
            decoded = decode(
                path.read_bytes(), short_side=_SHORT_SIDE, max_megapixels=_MOST_MEGAPIXELS
            )
        except DecodeError:
            continue
        image = np.asarray(decoded.pixels)
        digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        labels[digest].add(label)
        pixels[digest] = image
    digests = sorted(digest for digest in pixels if len(labels[digest]) == 1)
    groups = near_groups(digests, [difference_hash(pixels[d]) for d in digests], NEAR)
    taken: Counter[str] = Counter()
    for digest, group in sorted(zip(digests, groups, strict=True), key=lambda pair: rank(pair[0])):
        if taken[group] == most_alike:
            continue
        taken[group] += 1
        place = source / min(labels[digest]) / f"{digest[:16]}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[digest]).save(place)


def built(name: str, build: Callable[[Path], None]) -> Path:
    """Return a folder of the cache; ``build`` writes it if it is missing."""
    target = CACHE / name
    if not target.is_dir():
        part = empty(target.with_name(f"{name}.part"))
        build(part)
        part.rename(target)
    return target


def copy_splits(source: Path, splits: Mapping[str, str], target: Path) -> None:
    """Copy each image ``source / path`` to ``target / split / path``."""
    for path, split in splits.items():
        place = target / split / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, place)


def image_names(source: Path) -> list[str]:
    """Return the paths ``LABEL/NAME`` of all images, sorted."""
    return sorted(str(path.relative_to(source)) for path in source.rglob("*.png"))


def rank(text: str) -> str:
    """Return a hash that orders texts at random, but always alike."""
    return hashlib.sha256(text.encode()).hexdigest()
