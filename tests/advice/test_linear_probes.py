from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.advice import linear_probes
from thaw.advice.linear_probes import probe_all, told_apart
from thaw.advice.recommendation import APART

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTHS = [3, 4, 5]


def features(count: int = 150, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Block 1 knows nothing, block 2 the class, block 3 half of it."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % classes
    columns = generator.normal(size=(count, sum(WIDTHS)))
    columns[:, 3:6] += 4 * np.eye(classes, 3)[targets]
    columns[:, 7] += 4 * (targets == 0)
    return columns.astype(np.float32), targets


def test_each_block_is_judged_by_its_own_features() -> None:
    single, _ = probe_all(*given(), seed=0)
    assert [found.blocks for found in single] == [(1,), (2,), (3,)]
    assert [found.width for found in single] == WIDTHS
    accuracies = [found.accuracy for found in single]
    assert accuracies[0] < 0.5
    assert accuracies[1] > 0.95
    assert 0.55 < accuracies[2] < 0.8


def test_the_last_blocks_are_judged_together() -> None:
    single, joined = probe_all(*given(), seed=0)
    assert [found.blocks for found in joined] == [(2, 3), (1, 2, 3)]
    assert [found.width for found in joined] == [9, 12]
    assert joined[0].accuracy > single[2].accuracy + 0.15


def given() -> tuple[NDArray[np.float32], list[int], NDArray[np.int64], NDArray[np.str_]]:
    columns, targets = features()
    return columns, WIDTHS, targets, apart(len(targets))


def apart(count: int) -> NDArray[np.str_]:
    """Each image is a group of its own."""
    return np.arange(count).astype(str)


def test_it_is_cross_validated() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(60, 200)).astype(np.float32)  # could be learnt by heart
    (found,), _ = probe_all(noise, [200], np.arange(60) % 2, apart(60), seed=0)
    assert found.accuracy < 0.75
    assert found.error == pytest.approx(np.sqrt(found.accuracy * (1 - found.accuracy) / 60))


def test_it_depends_on_the_seed_alone() -> None:
    assert probe_all(*given(), seed=1) == probe_all(*given(), seed=1)


def test_of_many_images_some_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_probes, "_MOST", 90)
    single, _ = probe_all(*given(), seed=0)
    assert single[1].error == pytest.approx(
        np.sqrt(single[1].accuracy * (1 - single[1].accuracy) / 90)
    )


def test_copies_of_an_image_are_never_on_both_sides() -> None:
    generator = np.random.default_rng(0)
    once = generator.normal(size=(40, 300)).astype(np.float32)  # noise, which says no class
    targets = np.arange(40) % 2
    copies, labels = np.tile(once, (3, 1)), np.tile(targets, 3)
    (blind,), _ = probe_all(copies, [300], labels, apart(120), seed=0)
    (grouped,), _ = probe_all(copies, [300], labels, np.tile(apart(40), 3), seed=0)
    assert blind.accuracy > 0.9  # from memory
    assert grouped.accuracy < 0.75


@pytest.mark.parametrize("rare", [1, 2, 3])
def test_a_class_of_few_images_is_no_obstacle(rare: int) -> None:
    columns, _ = features(40)
    targets = np.array([0] * (40 - rare) + [1] * rare)
    single, joined = probe_all(columns, WIDTHS, targets, apart(40), seed=0)
    assert all(0 < found.accuracy <= 1 for found in (*single, *joined))


@pytest.mark.parametrize(
    ("targets", "groups"),
    [
        (np.zeros(12, dtype=np.int64), apart(12)),  # one class
        (np.arange(12) % 2, np.array(["a"] * 12)),  # one image, twelve times
        (np.arange(12), apart(12)),  # an image a class
        (np.arange(12) % 2, (np.arange(12) % 2).astype(str)),  # two images
    ],
)
def test_where_nothing_can_be_learnt_there_is_an_answer(
    targets: NDArray[np.int64], groups: NDArray[np.str_]
) -> None:
    columns, _ = features(12)
    single, _ = probe_all(columns, WIDTHS, targets, groups, seed=0)
    assert all(0 <= found.accuracy <= 1 for found in single)


@pytest.mark.parametrize("rare", [1, 3, 40])
def test_no_class_is_lost_where_some_images_are_drawn(rare: int) -> None:
    targets = np.array([0] * 6000 + [1] * 3000 + [2] * rare)
    kept = linear_probes._drawn(targets, 0, 300)
    assert len(np.unique(kept)) == 300
    counts = np.bincount(targets[kept], minlength=3)
    assert counts[2] >= min(rare, 5)
    assert counts[0] == pytest.approx(2 * counts[1], abs=6)


def test_of_more_classes_than_there_is_room_for_as_many_as_can_be_are_drawn() -> None:
    targets = np.repeat(np.arange(80), 10)
    kept = linear_probes._drawn(targets, 0, 100)
    assert set(targets[kept]) == set(range(80))


# Telling training from validation images.


def splits(train: int, val: int) -> NDArray[np.int64]:
    return np.repeat([0, 1], [train, val])


def noise(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 20)).astype(np.float32)


def is_clear(accuracy: float, error: float) -> bool:
    return accuracy >= APART[0] and accuracy - 0.5 > APART[1] * error


def test_images_of_one_kind_are_not_told_apart() -> None:
    accuracy, error = told_apart(noise(700), splits(600, 100), apart(700), seed=0)
    assert accuracy == pytest.approx(0.5, abs=0.1)
    assert 0 < error < 0.05
    assert not is_clear(accuracy, error)


def test_where_half_of_the_validation_images_are_moved_three_quarters_are_told() -> None:
    columns = noise(700)
    columns[650:] += 6  # half of the 100
    accuracy, error = told_apart(columns, splits(600, 100), apart(700), seed=0)
    assert accuracy == pytest.approx(0.75, abs=0.07)
    assert is_clear(accuracy, error)


def test_the_error_is_that_of_guessing() -> None:
    _, error = told_apart(noise(700), splits(600, 100), apart(700), seed=0)
    assert error == pytest.approx(np.sqrt(0.25 / 600 + 0.25 / 100) / 2)


@pytest.mark.parametrize("val", [1, 2])
def test_a_few_validation_images_are_never_significant(val: int) -> None:
    columns = noise(60 + val)
    columns[60:] += 20  # told without fail, where one of them was seen
    assert not is_clear(*told_apart(columns, splits(60, val), apart(60 + val), seed=0))


@pytest.mark.parametrize("seed", range(6))
def test_nor_is_luck_with_some(seed: int) -> None:
    assert not is_clear(*told_apart(noise(65), splits(60, 5), apart(65), seed=seed))


def test_copies_say_nothing_of_the_split() -> None:
    once = np.random.default_rng(0).normal(size=(90, 200)).astype(np.float32)
    columns, groups = np.tile(once, (2, 1)), np.tile(apart(90), 2)
    split = np.tile(splits(60, 30), 2)
    assert told_apart(columns, split, groups, seed=0)[0] < 0.65
    assert told_apart(columns, split, apart(180), seed=0)[0] > 0.8  # from memory
