"""Checks of a whole data set: classes, equal images, label conflicts, images in two splits."""

from __future__ import annotations

import glob
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thaw.data.split_names import TRAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from thaw.ingest.listing import Listing

_MOST_NAMED = 6  # images of one group


def class_problems(listing: Listing) -> list[str]:
    """Return a line for each class without images, and one if there are fewer than two classes.

    Nothing is said about classes while it is not clear which folders they are.
    """
    if not listing.has_clear_layout:
        return []
    if not listing.samples and not listing.problems and not listing.bad_files:
        return [f"{listing.root}: contains no images: put a folder of images for each class there"]
    filled = {sample.label for sample in listing.samples}
    problems = [
        f"{_class_folder(listing.root, label)}: the class has no image; add some, or remove the "
        "folder"
        for label in listing.classes
        if label not in filled
    ]
    if len(filled) == 1:
        problems.append(
            f"{listing.root}: there is only one class ({filled.pop()}), and a classifier needs "
            "two: add a folder of other images"
        )
    return problems


def _class_folder(root: Path, label: str) -> Path:
    """Return the first folder of a class: in ``root``, or in a folder of a split."""
    return next(filter(Path.is_dir, (root / label, *sorted(root.glob(f"*/{glob.escape(label)}")))))


def repeated_hashes(groups: Iterable[str]) -> set[int]:
    """Return the hashes of the groups that occur more than once, with 8 bytes for each group.

    Few groups that occur once may have one of these hashes as well.
    """
    hashes = np.fromiter(map(hash, groups), dtype=np.int64)
    hashes.sort()
    return set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


def first_of_groups(groups: Sequence[str], chosen: Sequence[int]) -> NDArray[np.int64]:
    """Return for each image in ``chosen`` the place in ``chosen`` of the first of its group.

    Besides the result, only groups with several images take memory.
    """
    repeated = repeated_hashes(groups[image] for image in chosen)
    first = np.arange(len(chosen))
    places: dict[str, int] = {}
    if repeated:
        for place, image in enumerate(chosen):
            if hash(group := groups[image]) in repeated:
                first[place] = places.setdefault(group, place)
    return first


def duplicates(paths: Iterable[str], groups: Sequence[str]) -> list[list[str]]:
    """Return the paths of each group of two or more images."""
    repeated = repeated_hashes(groups)
    members: dict[str, list[str]] = defaultdict(list)
    for path, group in zip(paths, groups, strict=True):
        if hash(group) in repeated:
            members[group].append(path)
    return [names for names in members.values() if len(names) > 1]


def label_conflicts(
    paths: Sequence[str], labels: Sequence[str], groups: Sequence[str]
) -> dict[str, list[str]]:
    """Return each group whose images have different labels, as texts ``path (label)``."""
    members: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, label, group in zip(paths, labels, groups, strict=True):
        members[group].append((path, label))
    return {
        group: [f"{path} ({label})" for path, label in images]
        for group, images in members.items()
        if len({label for _, label in images}) > 1
    }


def conflict_problems(conflicts: Iterable[Sequence[str]]) -> list[str]:
    """Return a line for each group of identical images with different labels."""
    return [
        f"identical images have different labels: {_shortened(names)}: keep the right one, or set "
        "prepare.on_conflict to drop, which leaves all of them out"
        for names in conflicts
    ]


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def count_leaks(groups: Sequence[str], splits: Sequence[str]) -> int:
    """Return the number of validation and test images whose group is also in another split."""
    repeated = repeated_hashes(groups)
    splits_of: dict[str, list[str]] = defaultdict(list)
    for group, split in zip(groups, splits, strict=True):
        if hash(group) in repeated:
            splits_of[group].append(split)
    several = (names for names in splits_of.values() if len(set(names)) > 1)
    return sum(split != TRAIN for names in several for split in names)


def conversion_counts(conversions: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """Return the number of images per conversion, the most frequent first."""
    return dict(Counter(name for names in conversions for name in names).most_common())
