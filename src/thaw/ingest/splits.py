"""Splits: stratified by class, whole groups, and stable when images are added.

A split that the source does not give is drawn from the training images.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from thaw.data.split_names import SPLITS, TEST, TRAIN, VAL
from thaw.ingest.checks import first_of_groups
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from thaw.config.prepare_section import Prepare

MIN_GROUPS = 3  # distinct images that a class needs: one for each split


def split_problems(labels: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return a line for each class with too few distinct images for three splits."""
    members_of = _first_by_class(labels, first_of_groups(groups, range(len(groups))))
    return [
        f"class {label!r} has {quantity(len(members), 'distinct image')} "
        f"(without copies of images of other classes), but needs {MIN_GROUPS}: one each for "
        "training, validation and test; add images, or remove the class"
        for label, members in sorted(members_of.items())
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
    shares = {TEST: test_fraction, VAL: val_fraction}
    return _drawn(labels, groups, range(len(labels)), shares, seed)


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
    filled = list(given)
    if shares:
        training = array("q", (index for index, name in enumerate(given) if name == TRAIN))
        drawn = _drawn(labels, groups, training, shares, seed)
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
    labels: Sequence[str],
    groups: Sequence[str],
    images: Sequence[int],
    shares: Mapping[str, float],
    seed: int,
) -> list[str]:
    """Return the split of each of ``images``: of each class, the ``shares``; the rest trains."""
    first = first_of_groups(groups, images)
    names = [*shares, TRAIN]
    numbers = np.full(len(first), len(shares), dtype=np.int8)
    for members in _first_by_class((labels[image] for image in images), first).values():
        ranks = (_rank(seed, groups[images[place]]) for place in members.tolist())
        order = np.argsort(np.fromiter(ranks, dtype="S32", count=len(members)))
        start = 0
        for number, share in enumerate(shares.values()):
            end = start + _quota(len(members), share)
            numbers[members[order[start:end]]] = number
            start = end
    return [names[number] for number in numbers[first].tolist()]


def _rank(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()


def _quota(count: int, fraction: float) -> int:
    """Return the number of groups for a split: at least 1; of 3 groups or more, one remains.

    Two splits are drawn from one class, so that each takes less than half.
    """
    return min(max(1, round(count * fraction)), max(1, (count - 1) // 2))


def _first_by_class(
    labels: Iterable[str], first: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Return the positions of the first images of groups by class.

    ``first`` (N,) is the position of the first image of each one's group. A group whose images
    have several labels belongs to the class of its first image.
    """
    numbers: dict[str, int] = {}
    numbered = (numbers.setdefault(label, len(numbers)) for label in labels)
    label_of = np.fromiter(numbered, dtype=np.int32, count=len(first))
    members = np.flatnonzero(first == np.arange(len(first)))
    members = members[np.argsort(label_of[members], kind="stable")]
    ends = np.bincount(label_of[members], minlength=len(numbers)).cumsum()
    return dict(zip(numbers, np.split(members, ends[:-1]), strict=False))
