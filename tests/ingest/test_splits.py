from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import settings
from thaw.ingest.splits import (
    MIN_GROUPS,
    fill_splits,
    given_split_problems,
    lost_split_problems,
    missing_split_notes,
    split,
    split_problems,
)

if TYPE_CHECKING:
    from random import Random

Images = tuple[list[str], list[str]]  # labels, groups


def images(**counts: int) -> Images:
    """Return labels and groups of distinct images, ``counts`` per class."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return labels, [f"{label}{number}" for number, label in enumerate(labels)]


def assign(found: Images, val: float = 0.15, test: float = 0.15, seed: int = 0) -> list[str]:
    return split(*found, val_fraction=val, test_fraction=test, seed=seed)


def with_copies(found: Images, share: float, seed: int) -> Images:
    """Return ``found`` with copies of some of its images at random positions."""
    labels, groups = found
    generator = np.random.default_rng(seed)
    copies = generator.choice(len(labels), int(share * len(labels)))
    order = generator.permutation(len(labels) + len(copies))
    places = np.concatenate([np.arange(len(labels)), copies])[order]
    return [labels[place] for place in places], [groups[place] for place in places]


@pytest.mark.parametrize(("val", "test"), [(0.15, 0.15), (0.1, 0.3), (0.25, 0.05)])
def test_the_fractions_hold_in_every_class(val: float, test: float) -> None:
    found = images(a=1000, b=200, c=40)
    counts = Counter(zip(found[0], assign(found, val, test), strict=True))
    for label, total in (("a", 1000), ("b", 200), ("c", 40)):
        assert abs(counts[label, "val"] - total * val) <= 0.5
        assert abs(counts[label, "test"] - total * test) <= 0.5


def test_a_class_of_three_or_more_images_is_in_every_split() -> None:
    for count, fraction in product(range(MIN_GROUPS, 12), (0.01, 0.15, 0.33, 0.49)):
        found = images(a=count, b=100)
        splits = assign(found, fraction, fraction)
        assert given_split_problems(found[0], splits) == [], (count, fraction)


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_divided(seed: int) -> None:
    labels, groups = with_copies(images(a=50, b=20, c=3), share=1.0, seed=seed)
    places: dict[str, set[str]] = defaultdict(set)
    for group, place in zip(groups, assign((labels, groups), seed=seed), strict=True):
        places[group].add(place)
    assert {len(found) for found in places.values()} == {1}


def test_a_group_with_several_labels_is_not_divided_either() -> None:
    labels, groups = images(a=20, b=20)
    labels, groups = [*labels, "b", "a"], [*groups, groups[0], groups[-1]]
    splits = assign((labels, groups))
    assert splits[0] == splits[-2]
    assert splits[39] == splits[-1]


def test_copies_do_not_change_the_splits_of_other_images() -> None:
    labels, groups = images(a=40, b=40)
    plain = dict(zip(groups, assign((labels, groups)), strict=True))
    copied = with_copies((labels, groups), share=0.5, seed=0)
    assert dict(zip(copied[1], assign(copied), strict=True)) == plain


def test_the_split_does_not_depend_on_the_order_of_the_images() -> None:
    labels, groups = images(a=40, b=30)
    order = np.random.default_rng(0).permutation(70)
    shuffled = [labels[place] for place in order], [groups[place] for place in order]
    plain = dict(zip(groups, assign((labels, groups)), strict=True))
    assert dict(zip(shuffled[1], assign(shuffled), strict=True)) == plain


def test_the_split_is_a_pure_function_of_the_seed() -> None:
    found = images(a=100, b=100)
    assert assign(found, seed=3) == assign(found, seed=3)
    assert assign(found, seed=3) != assign(found, seed=4)


def test_the_split_is_the_same_on_every_machine() -> None:
    # A change would silently move images between training and test.
    found = images(a=7, b=4)
    assert assign(found, seed=0) == [
        "train", "val", "train", "train", "test", "train", "train",
        "train", "train", "test", "val",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [3, 10, 57, 300])
def test_an_added_image_moves_at_most_three_others_and_none_of_another_class(count: int) -> None:
    labels, groups = images(a=count, b=20)
    for number in range(20):
        before = dict(zip(groups, assign((labels, groups)), strict=True))
        labels, groups = [*labels, "a"], [*groups, f"new{number}"]
        after = dict(zip(groups, assign((labels, groups)), strict=True))
        moved = [group for group in before if before[group] != after[group]]
        assert len(moved) <= 3
        assert not any(group.startswith("b") for group in moved)


def test_a_class_with_too_few_distinct_images_is_reported_with_the_minimum() -> None:
    labels, groups = images(a=5, b=2, c=1)
    labels, groups = [*labels, "c", "c"], [*groups, groups[-1], groups[-1]]
    first, second = split_problems(labels, groups)
    assert first.startswith("class 'b' has 2 distinct images ")
    assert second.startswith("class 'c' has 1 distinct image ")
    assert all("needs 3: one each for training, validation and test" in x for x in (first, second))


def test_a_class_that_contains_only_copies_of_another_is_reported() -> None:
    labels, groups = images(a=5)
    (line,) = split_problems([*labels, "b", "b", "b"], [*groups, *groups[:3]])
    assert line.startswith("class 'b' has 0 distinct images ")


def test_three_distinct_images_are_enough() -> None:
    assert split_problems(*images(a=3, b=3)) == []


def test_a_class_that_is_missing_in_a_given_split_is_reported() -> None:
    labels = ["a", "a", "a", "b", "b"]
    assert given_split_problems(labels, ["train", "val", "test", "train", "test"]) == [
        "class 'b' has no image in the val split: move some there, or remove the class"
    ]


def test_a_given_split_of_which_nothing_is_left_is_reported() -> None:
    (line,) = lost_split_problems({"train", "test", None}, {"train", None})
    assert line.startswith("split test: none of its images is left")
    assert lost_split_problems({None}, {None}) == lost_split_problems({"val"}, {"val"}) == []
    assert len(lost_split_problems({"train", "val", "test"}, set())) == 3


# Splits that the source does not give


CONFIG = settings.prepare(val_fraction=0.2, test_fraction=0.3)


def test_a_missing_validation_split_is_drawn_from_the_training_images() -> None:
    labels, groups = images(a=50, b=50)
    given = ["train"] * 40 + ["test"] * 10 + ["train"] * 30 + ["test"] * 20
    filled = fill_splits(labels, groups, given, CONFIG, seed=0)
    counts = Counter(zip(labels, filled, strict=True))
    assert [counts["a", name] for name in ("train", "val", "test")] == [32, 8, 10]
    assert [counts["b", name] for name in ("train", "val", "test")] == [24, 6, 20]
    moved = {old for old, new in zip(given, filled, strict=True) if old != new}
    assert moved == {"train"}


def test_a_missing_test_split_is_drawn_from_the_training_images() -> None:
    labels, groups = images(a=50)
    filled = fill_splits(labels, groups, ["train"] * 40 + ["val"] * 10, CONFIG, seed=0)
    assert Counter(filled) == {"train": 28, "test": 12, "val": 10}


def test_training_images_alone_are_split_as_if_the_source_gave_no_split() -> None:
    labels, groups = images(a=50, b=9)
    filled = fill_splits(labels, groups, ["train"] * 59, CONFIG, seed=3)
    assert filled == assign((labels, groups), 0.2, 0.3, seed=3)


def test_a_complete_split_stays_as_it_is() -> None:
    labels, groups = images(a=6)
    given = ["train", "test", "val"] * 2
    assert fill_splits(labels, groups, given, CONFIG, seed=0) == given
    assert missing_split_notes(given, CONFIG) == []


def test_copies_stay_together_when_a_split_is_drawn() -> None:
    labels, groups = with_copies(images(a=40), share=1.0, seed=0)
    filled = fill_splits(labels, groups, ["train"] * len(labels), CONFIG, seed=0)
    places: dict[str, set[str]] = defaultdict(set)
    for group, place in zip(groups, filled, strict=True):
        places[group].add(place)
    assert {len(found) for found in places.values()} == {1}


# For all inputs

NAMES = ("train", "val", "test")
FRACTIONS = st.floats(0.01, 0.49)
SEEDS = st.integers(0, 2**31)
# (label, number of the image): an equal pair is a copy; a group has one label or several.
PURE = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=60)
MIXED = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=60)


def pure(drawn: list[tuple[str, int]]) -> Images:
    """Return labels and groups in which a group has one label."""
    return [label for label, _ in drawn], [f"{label}{number}" for label, number in drawn]


def split_counts(found: Images, splits: list[str]) -> dict[str, Counter[str]]:
    """Return the number of groups of each class by split."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for label, _, place in {*zip(*found, splits, strict=True)}:
        counts[label][place] += 1
    return counts


@pytest.mark.property
@given(MIXED, FRACTIONS, FRACTIONS, SEEDS)
def test_no_group_is_in_two_splits_whatever_its_labels(
    drawn: list[tuple[str, int]], val: float, test: float, seed: int
) -> None:
    found = [label for label, _ in drawn], [str(number) for _, number in drawn]
    splits = assign(found, val, test, seed)
    assert set(splits) <= set(NAMES)
    assert len({*zip(found[1], splits, strict=True)}) == len(set(found[1]))


@pytest.mark.property
@given(PURE, FRACTIONS, FRACTIONS, SEEDS)
def test_every_class_with_enough_images_has_its_share_in_every_split(
    drawn: list[tuple[str, int]], val: float, test: float, seed: int
) -> None:
    found = pure(drawn)
    for counts in split_counts(found, assign(found, val, test, seed)).values():
        total = counts.total()
        if total < MIN_GROUPS:
            continue
        assert all(counts[name] >= 1 for name in NAMES)
        for name, share in (("val", val), ("test", test)):
            most = max(1, (total - 1) // 2)
            assert abs(counts[name] - min(max(1, total * share), most)) <= 0.5


@pytest.mark.property
@given(PURE, FRACTIONS, FRACTIONS, SEEDS, st.randoms(use_true_random=False))
def test_neither_order_nor_copies_change_the_split_of_an_image(
    drawn: list[tuple[str, int]], val: float, test: float, seed: int, random: Random
) -> None:
    found = pure(drawn)
    plain = dict(zip(found[1], assign(found, val, test, seed), strict=True))
    again = random.choices(drawn, k=3) + drawn
    random.shuffle(again)
    other = pure(again)
    assert dict(zip(other[1], assign(other, val, test, seed), strict=True)) == plain


@pytest.mark.property
@given(PURE, st.data(), SEEDS)
def test_drawing_a_missing_split_takes_training_images_only_and_whole_groups(
    drawn: list[tuple[str, int]], data: st.DataObject, seed: int
) -> None:
    labels, groups = pure(drawn)
    names = data.draw(st.sampled_from([("train",), ("train", "val"), ("train", "test"), NAMES]))
    given_splits = [data.draw(st.sampled_from(names)) for _ in drawn]
    assume("train" in given_splits)
    filled = fill_splits(labels, groups, given_splits, CONFIG, seed)
    training = {*zip(groups, given_splits, filled, strict=True)}
    assert all(old == new for _, old, new in training if old != "train")
    new_places = Counter(group for group, old, _ in training if old == "train")
    assert set(new_places.values()) == {1}
    assert {new for _, old, new in training if old == "train"} - {"train"} <= set(NAMES) - {
        name for name in given_splits if name != "train"
    }
    assert filled == fill_splits(labels, groups, given_splits, CONFIG, seed)
