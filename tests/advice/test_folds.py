from __future__ import annotations

import numpy as np
import pytest

from thaw.advice.folds import stratified_folds, subsample


def test_each_image_is_predicted_once_by_images_of_other_groups() -> None:
    targets = np.arange(60) % 3
    groups = np.array([f"g{number // 2}" for number in range(60)])
    folds = stratified_folds(targets, groups, seed=0)
    assert len(folds) == 5
    assert sorted(np.concatenate([fold.predict for fold in folds])) == list(range(60))
    for fold in folds:
        assert not set(groups[fold.fit]) & set(groups[fold.predict])
        assert set(targets[fold.predict]) == {0, 1, 2}


def test_the_folds_depend_on_the_seed_alone() -> None:
    targets, groups = np.arange(60) % 3, np.arange(60).astype(str)
    first, again, other = (stratified_folds(targets, groups, seed) for seed in (0, 0, 1))
    assert [fold.predict.tolist() for fold in first] == [fold.predict.tolist() for fold in again]
    assert [fold.predict.tolist() for fold in first] != [fold.predict.tolist() for fold in other]


def test_one_group_has_no_folds() -> None:
    assert stratified_folds(np.arange(6) % 2, np.array(["same"] * 6), seed=0) == []


@pytest.mark.parametrize("rare", [1, 3, 40])
def test_a_sample_contains_rare_classes(rare: int) -> None:
    targets = np.array([0] * 6000 + [1] * 3000 + [2] * rare)
    kept = subsample(targets, 0, 300)
    assert len(np.unique(kept)) == 300
    counts = np.bincount(targets[kept], minlength=3)
    assert counts[2] >= min(rare, 5)
    assert counts[0] == pytest.approx(2 * counts[1], abs=6)


def test_a_sample_of_many_classes_contains_all_of_them() -> None:
    targets = np.repeat(np.arange(80), 10)
    kept = subsample(targets, 0, 100)
    assert set(targets[kept]) == set(range(80))


def test_no_images_have_no_folds() -> None:
    assert stratified_folds(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.str_), 0) == []
