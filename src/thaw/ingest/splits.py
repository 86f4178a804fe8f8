"""Splits: stratified by class, whole groups, and stable when images are added."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from thaw.data.split_names import SPLITS, TEST, TRAIN, VAL

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_GROUPS = 3  # distinct images that a class needs: one for each split


def split_problems(labels: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return a line for each class with too few distinct images for three splits."""
    return [
        f"class {label!r} has {len(members)} distinct image{'s' * (len(members) != 1)} "
        f"(without copies of images of other classes), but needs {MIN_GROUPS}: one each for "
        "training, validation and test"
        for label, members in sorted(_groups_by_class(labels, groups).items())
        if len(members) < MIN_GROUPS
    ]


def given_split_problems(labels: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Return a line for each class that is missing in a split given by the source."""
    splits_of = defaultdict(set)
    for label, split in zip(labels, splits, strict=True):
        splits_of[label].add(split)
    return [
        f"class {label!r} has no image in the {split} split"
        for label, present in sorted(splits_of.items())
        for split in SPLITS
        if split not in present
    ]


def split(
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> list[str]:
    """Return the name of the split of each image; images of one group are in one split.

    In each class, the groups are ordered by a hash of (seed, group): the first go to the test
    split, the next to the validation split. An image that is added later therefore moves few
    others.
    """
    rank = {group: hashlib.sha256(f"{seed}:{group}".encode()).digest() for group in set(groups)}
    assigned: dict[str, str] = {}
    for _, members in sorted(_groups_by_class(labels, groups).items()):
        ordered = sorted(members, key=rank.__getitem__)
        tests = _quota(len(ordered), test_fraction)
        vals = _quota(len(ordered), val_fraction)
        for position, group in enumerate(ordered):
            if position < tests:
                assigned[group] = TEST
            else:
                assigned[group] = VAL if position < tests + vals else TRAIN
    return [assigned[group] for group in groups]


def _quota(count: int, fraction: float) -> int:
    """Return the number of groups for a split: at least 1, and never so many that none remain."""
    return min(max(1, round(count * fraction)), max(1, (count - 1) // 2))


def _groups_by_class(labels: Sequence[str], groups: Sequence[str]) -> dict[str, list[str]]:
    """Return the groups of each class, in order.

    A group whose images have several labels belongs to the class of its first image.
    """
    owner: dict[str, str] = {}
    for label, group in zip(labels, groups, strict=True):
        owner.setdefault(group, label)
    members: dict[str, list[str]] = {label: [] for label in labels}
    for group, label in owner.items():
        members[label].append(group)
    return members
