from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.advice import linear_probes
from thaw.advice.folds import Fold
from thaw.advice.linear_probes import SplitTest, probe_blocks, split_test
from thaw.advice.measurements import MIN_SPLIT_ACCURACY, MIN_SPLIT_ERRORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTHS = [3, 4, 5]


def features(count: int = 150, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features: block 1 is noise, block 2 shows all classes, block 3 one of them."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % classes
    columns = generator.normal(size=(count, sum(WIDTHS)))
    columns[:, 3:6] += 4 * np.eye(classes, 3)[targets]
    columns[:, 7] += 4 * (targets == 0)
    return columns.astype(np.float32), targets


def test_the_probe_of_a_block_uses_its_own_features() -> None:
    single, _ = probe_blocks(*probe_inputs(), seed=0)
    assert [found.blocks for found in single] == [(1,), (2,), (3,)]
    assert [found.width for found in single] == WIDTHS
    accuracies = [found.accuracy for found in single]
    assert accuracies[0] < 0.5
    assert accuracies[1] > 0.95
    assert 0.55 < accuracies[2] < 0.8


def test_joint_probes_use_the_features_of_the_last_blocks_together() -> None:
    single, joined = probe_blocks(*probe_inputs(), seed=0)
    assert [found.blocks for found in joined] == [(2, 3), (1, 2, 3)]
    assert [found.width for found in joined] == [9, 12]
    assert joined[0].accuracy > single[2].accuracy + 0.15


def probe_inputs() -> tuple[NDArray[np.float32], list[int], NDArray[np.int64], NDArray[np.str_]]:
    columns, targets = features()
    return columns, WIDTHS, targets, single_groups(len(targets))


def test_a_channel_that_one_image_hardly_activates_is_no_reason_for_another_answer() -> None:
    columns, targets = features()
    rare = np.zeros((len(columns), 1), dtype=np.float32)
    rare[0], rare[100:] = 1e-5, 0.3  # as a channel behind a rectifier
    fold = Fold(np.arange(100), np.arange(100, 150))
    without, found = (
        linear_probes._predictions(each, targets, [fold])
        for each in (columns, np.hstack([columns, rare]))
    )
    assert found[100:].tolist() == without[100:].tolist()


def single_groups(count: int) -> NDArray[np.str_]:
    """Return groups of one image each."""
    return np.arange(count).astype(str)


def test_the_accuracy_is_cross_validated() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(60, 200)).astype(np.float32)  # can be memorised
    (found,), _ = probe_blocks(noise, [200], np.arange(60) % 2, single_groups(60), seed=0)
    assert found.accuracy < 0.75
    assert found.error == pytest.approx(np.sqrt(found.accuracy * (1 - found.accuracy) / 60))


def test_equal_seeds_give_equal_probes() -> None:
    assert probe_blocks(*probe_inputs(), seed=1) == probe_blocks(*probe_inputs(), seed=1)


def test_a_sample_of_many_images_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_probes, "_MOST_IMAGES", 90)
    single, _ = probe_blocks(*probe_inputs(), seed=0)
    assert single[1].error == pytest.approx(
        np.sqrt(single[1].accuracy * (1 - single[1].accuracy) / 90)
    )


def test_copies_of_an_image_are_in_one_fold() -> None:
    generator = np.random.default_rng(0)
    once = generator.normal(size=(40, 300)).astype(np.float32)  # noise without a class
    targets = np.arange(40) % 2
    copies, labels = np.tile(once, (3, 1)), np.tile(targets, 3)
    (blind,), _ = probe_blocks(copies, [300], labels, single_groups(120), seed=0)
    (grouped,), _ = probe_blocks(copies, [300], labels, np.tile(single_groups(40), 3), seed=0)
    assert blind.accuracy > 0.9  # memorised
    assert grouped.accuracy < 0.75


@pytest.mark.parametrize("rare", [1, 2, 3])
def test_a_class_of_few_images_can_be_probed(rare: int) -> None:
    columns, _ = features(40)
    targets = np.array([0] * (40 - rare) + [1] * rare)
    single, joined = probe_blocks(columns, WIDTHS, targets, single_groups(40), seed=0)
    assert all(0 < found.accuracy <= 1 for found in (*single, *joined))


@pytest.mark.parametrize(
    ("targets", "groups"),
    [
        (np.zeros(12, dtype=np.int64), single_groups(12)),  # one class
        (np.arange(12) % 2, np.array(["a"] * 12)),  # one image, twelve times
        (np.arange(12), single_groups(12)),  # one image per class
        (np.arange(12) % 2, (np.arange(12) % 2).astype(str)),  # two images
    ],
)
def test_data_without_a_possible_fit_has_an_accuracy(
    targets: NDArray[np.int64], groups: NDArray[np.str_]
) -> None:
    columns, _ = features(12)
    single, _ = probe_blocks(columns, WIDTHS, targets, groups, seed=0)
    assert all(0 <= found.accuracy <= 1 for found in single)


# Separating training from validation images


def splits(train: int, val: int) -> NDArray[np.int64]:
    return np.repeat([0, 1], [train, val])


def noise(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 20)).astype(np.float32)


def is_clear(found: SplitTest) -> bool:
    accuracy, error = found
    return accuracy >= MIN_SPLIT_ACCURACY and accuracy - 0.5 > MIN_SPLIT_ERRORS * error


def test_splits_of_the_same_distribution_are_not_separated() -> None:
    accuracy, error = split_test(noise(700), splits(600, 100), single_groups(700), seed=0)
    assert accuracy == pytest.approx(0.5, abs=0.1)
    assert 0 < error < 0.05
    assert not is_clear(SplitTest(accuracy, error))


def test_half_shifted_validation_images_give_an_accuracy_of_three_quarters() -> None:
    columns = noise(700)
    columns[650:] += 6  # half of the 100
    accuracy, error = split_test(columns, splits(600, 100), single_groups(700), seed=0)
    assert accuracy == pytest.approx(0.75, abs=0.07)
    assert is_clear(SplitTest(accuracy, error))


def test_the_standard_error_is_that_of_guessing() -> None:
    _, error = split_test(noise(700), splits(600, 100), single_groups(700), seed=0)
    assert error == pytest.approx(np.sqrt(0.25 / 600 + 0.25 / 100) / 2)


@pytest.mark.parametrize("val", [1, 2])
def test_a_few_validation_images_are_never_significant(val: int) -> None:
    columns = noise(60 + val)
    columns[60:] += 20  # always classified correctly if one of them was fitted on
    assert not is_clear(split_test(columns, splits(60, val), single_groups(60 + val), seed=0))


@pytest.mark.parametrize("seed", range(3))
def test_chance_with_five_validation_images_is_not_significant(seed: int) -> None:
    assert not is_clear(split_test(noise(65), splits(60, 5), single_groups(65), seed=seed))


def test_copies_in_both_splits_do_not_separate_them() -> None:
    once = np.random.default_rng(0).normal(size=(90, 200)).astype(np.float32)
    columns, groups = np.tile(once, (2, 1)), np.tile(single_groups(90), 2)
    split = np.tile(splits(60, 30), 2)
    assert split_test(columns, split, groups, seed=0)[0] < 0.65
    assert split_test(columns, split, single_groups(180), seed=0)[0] > 0.8  # memorised
