from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from thaw.advice import probe
from thaw.advice.probe import probe_all

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
    single, _ = probe_all(*pair(), seed=0)
    assert [found.blocks for found in single] == [(1,), (2,), (3,)]
    assert [found.width for found in single] == WIDTHS
    accuracies = [found.accuracy for found in single]
    assert accuracies[0] < 0.5
    assert accuracies[1] > 0.95
    assert 0.55 < accuracies[2] < 0.8


def test_the_last_blocks_are_judged_together() -> None:
    single, joined = probe_all(*pair(), seed=0)
    assert [found.blocks for found in joined] == [(2, 3), (1, 2, 3)]
    assert [found.width for found in joined] == [9, 12]
    assert joined[0].accuracy > single[2].accuracy + 0.15


def pair() -> tuple[NDArray[np.float32], list[int], NDArray[np.int64]]:
    columns, targets = features()
    return columns, WIDTHS, targets


def test_it_is_cross_validated() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(60, 200)).astype(np.float32)  # could be learnt by heart
    (found,), _ = probe_all(noise, [200], np.arange(60) % 2, seed=0)
    assert found.accuracy < 0.75
    assert found.error == pytest.approx(np.sqrt(found.accuracy * (1 - found.accuracy) / 60))


def test_it_depends_on_the_seed_alone() -> None:
    assert probe_all(*pair(), seed=1) == probe_all(*pair(), seed=1)


def test_of_many_images_some_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_MOST", 90)
    single, _ = probe_all(*pair(), seed=0)
    assert single[1].error == pytest.approx(
        np.sqrt(single[1].accuracy * (1 - single[1].accuracy) / 90)
    )


def test_a_class_of_few_images_makes_fewer_folds() -> None:
    columns, _ = features(40)
    targets = np.array([0] * 37 + [1] * 3)
    single, _ = probe_all(columns, WIDTHS, targets, seed=0)
    assert all(0 < found.accuracy <= 1 for found in single)
