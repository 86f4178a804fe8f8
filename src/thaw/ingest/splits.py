"""Splits: stratified by class, whole groups, and stable when images are added.

A split that the source does not give is drawn from the training images.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from thaw.data.split_names import SPLITS, TEST, TRAIN, VAL
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from thaw.config.prepare_section import Prepare

MIN_GROUPS = 3  # distinct images that a class needs: one for each split


def split_problems(labels: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return a line for each class with too few distinct images for three splits."""
    return [
        f"class {label!r} has {quantity(len(members), 'distinct image')} "
        f"(without copies of images of other classes), but needs {MIN_GROUPS}: one each for "
        "training, validation and test; add images, or remove the class"
        for label, members in sorted(_groups_by_class(labels, groups).items())
        if len(members) < MIN_GROUPS
    ]


def lost_split_problems(given: Collection[str | None], left: Collection[str | None]) -> list[str]:
    """Return a line for each split of the source of whose images none is left.

    ``given`` has the splits of all listed files, ``left`` those of the images to use. Drawing such
    a split from the training images would replace the images that the user has chosen for it.
    """
    return [
        f"split {name}: none of its images is left, because all are bad or identical to images of "
        "other classes, and a split that is given is not drawn: repair them, or remove the split"
        for name in SPLITS
        if name in given and name not in left
    ]


def given_split_problems(labels: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Return a line for each class that is missing in a split given by the source."""
    splits_of = defaultdict(set)
    for label, split in zip(labels, splits, strict=True):
        splits_of[label].add(split)
    return [
        f"class {label!r} has no image in the {split} split: move some there, or remove the class"
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
    return _drawn(labels, groups, {TEST: test_fraction, VAL: val_fraction}, seed)


def fill_splits(
    labels: Sequence[str],
    groups: Sequence[str],
    given: Sequence[str],
    config: Prepare,
    seed: int,
) -> list[str]:
    """Return ``given`` with the splits that do not occur in it drawn from the training images.

    The fractions of ``config`` are shares of the training images of each class.
    """
    shares = {name: share for name, share in _shares(config).items() if name not in given}
    training = [index for index, name in enumerate(given) if name == TRAIN]
    drawn = _drawn(
        [labels[index] for index in training], [groups[index] for index in training], shares, seed
    )
    filled = list(given)
    for index, name in zip(training, drawn, strict=True):
        filled[index] = name
    return filled


def missing_split_notes(given: Collection[str], config: Prepare) -> list[str]:
    """Return a line for each split that :func:`fill_splits` draws from the training images."""
    keys = {TEST: "test_fraction", VAL: "val_fraction"}
    return [
        f"the source has no {name} split: {share:.0%} of the training images of each class are "
        f"drawn for it (prepare.{keys[name]})"
        for name, share in _shares(config).items()
        if name not in given
    ]


def _shares(config: Prepare) -> dict[str, float]:
    return {TEST: config.test_fraction, VAL: config.val_fraction}


def _drawn(
    labels: Sequence[str], groups: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[str]:
    """Return the split of each image: of each class, the ``shares``, and the rest for training."""
    assigned: dict[str, str] = {}
    for _, members in sorted(_groups_by_class(labels, groups).items()):
        ordered = sorted(members, key=partial(_rank, seed))
        names = [name for name, share in shares.items() for _ in range(_quota(len(ordered), share))]
        names += [TRAIN] * (len(ordered) - len(names))
        assigned |= dict(zip(ordered, names, strict=False))
    return [assigned[group] for group in groups]


def _rank(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()


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
