"""Train, validation and test: stratified, by group, and stable when images are added."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_GROUPS = 3  # distinct images a class needs: one for each split


def split_problems(labels: Sequence[str], groups: Sequence[str]) -> list[str]:
    """A line for each class with too few distinct images to stand in every split."""
    return [
        f"class {label!r} has {len(members)} distinct image{'s' * (len(members) != 1)} of its own, "
        f"but needs {MIN_GROUPS}: one each for training, validation and test"
        for label, members in sorted(_groups_by_class(labels, groups).items())
        if len(members) < MIN_GROUPS
    ]


def given_split_problems(labels: Sequence[str], splits: Sequence[str]) -> list[str]:
    """A line for each class that a split brought by the source leaves out."""
    present = defaultdict(set)
    for label, split in zip(labels, splits, strict=True):
        present[label].add(split)
    return [
        f"class {label!r} has no image in the {split} split"
        for label, found in sorted(present.items())
        for split in ("train", "val", "test")
        if split not in found
    ]


def split(
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> list[str]:
    """``train``, ``val`` or ``test`` for each image; a group is never divided.

    In each class the groups are ordered by a hash of (seed, group): the first go to test,
    the next to validation. An image added later therefore moves few others.
    """
    rank = {group: hashlib.sha256(f"{seed}:{group}".encode()).digest() for group in set(groups)}
    assigned: dict[str, str] = {}
    for _, members in sorted(_groups_by_class(labels, groups).items()):
        ordered = sorted(members, key=rank.__getitem__)
        tests = _quota(len(ordered), test_fraction)
        vals = _quota(len(ordered), val_fraction)
        for position, group in enumerate(ordered):
            place = "test" if position < tests else "val" if position < tests + vals else "train"
            assigned[group] = place
    return [assigned[group] for group in groups]


def _quota(count: int, fraction: float) -> int:
    return min(max(1, round(count * fraction)), max(1, (count - 1) // 2))


def _groups_by_class(labels: Sequence[str], groups: Sequence[str]) -> dict[str, list[str]]:
    """The groups of each class, in order; a group with several labels counts with its first."""
    owner: dict[str, str] = {}
    for label, group in zip(labels, groups, strict=True):
        owner.setdefault(group, label)
    members: dict[str, list[str]] = {label: [] for label in labels}
    for group, label in owner.items():
        members[label].append(group)
    return members
