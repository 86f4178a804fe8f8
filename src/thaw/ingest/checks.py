"""Checks of a whole data set: classes, equal images, label conflicts, images in two splits."""

from __future__ import annotations

import glob
from array import array
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from thaw.data.split_names import TRAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thaw.ingest.listing import Listing

_MOST_NAMED = 6  # images of one group


def class_problems(listing: Listing) -> list[str]:
    """Return a line for each class without images, and one if there are fewer than two classes."""
    if not listing.samples and not listing.problems and not listing.bad_files:
        return [f"{listing.root}: contains no images"]
    filled = {sample.label for sample in listing.samples}
    problems = [
        f"{next(listing.root.rglob(glob.escape(label)))}: "
        "the class has no image; add some, or remove the folder"
        for label in listing.classes
        if label not in filled
    ]
    if len(filled) == 1:
        problems.append(
            f"{listing.root}: there is only one class ({filled.pop()}); a classifier needs two"
        )
    return problems


def repeated_groups(groups: Iterable[str]) -> set[str]:
    """Return the first 32 digits of the groups that occur more than once.

    ``groups`` are hexadecimal digests. Each takes 16 bytes.
    """
    halves = array("Q")
    for group in groups:
        halves.extend((int(group[:16], 16), int(group[16:32], 16)))
    first, second = np.array(halves, dtype=np.uint64).reshape(-1, 2).T
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    same = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    pairs = zip(first[1:][same].tolist(), second[1:][same].tolist(), strict=True)
    return {f"{high:016x}{low:016x}" for high, low in pairs}


def duplicates(paths: Sequence[str], groups: Sequence[str]) -> list[list[str]]:
    """Return the paths of each group of two or more images."""
    members: dict[str, list[str]] = defaultdict(list)
    for path, group in zip(paths, groups, strict=True):
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
    splits_of: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        splits_of[group].add(split)
    return sum(
        split != TRAIN and len(splits_of[group]) > 1
        for group, split in zip(groups, splits, strict=True)
    )


def conversion_counts(conversions: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """Return the number of images per conversion, the most frequent first."""
    return dict(Counter(name for names in conversions for name in names).most_common())
