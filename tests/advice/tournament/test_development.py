from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.advice.project import open_model
from thaw.advice.tournament.development import Development, development
from thaw.data.packed_store import PackedStore
from thaw.data.split_names import TEST, TRAIN, VAL

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_the_images_are_those_of_training_and_validation_in_folds(project: Path) -> None:
    data = open_model().context.data
    found = development(data, 1000, seed=0)
    wanted = [*data.manifest.ids(TRAIN), *data.manifest.ids(VAL)]
    assert sorted(found.ids) == sorted(wanted)
    assert set(found.ids[found.is_validation]) == set(data.manifest.ids(VAL))
    assert (found.targets == data.manifest.targets[found.ids]).all()
    assert found.predicted.tolist() == list(range(len(wanted)))


def test_images_of_the_test_split_are_not_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, read = open_model().context.data, set()
    original = PackedStore.read

    def recorded(store: PackedStore, image_id: int) -> NDArray[np.uint8]:
        read.add(image_id)
        return original(store, image_id)

    monkeypatch.setattr(PackedStore, "read", recorded)
    development(data, 1000, seed=0)
    assert read
    assert not read & set(data.manifest.ids(TEST))


def test_images_that_look_alike_are_in_one_fold(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_model().context.data
    number = iter(range(1000))
    monkeypatch.setattr(
        "thaw.advice.tournament.development.difference_hash",
        lambda _: (next(number) // 4) * 0x0F0F0F0F0F0F0F0F % 2**64,
    )
    found = development(data, 1000, seed=0)
    assert len(set(found.groups)) < len(found.ids) / 2
    for fold in found.folds:
        assert not set(found.groups[fold.fit]) & set(found.groups[fold.predict])


def _groups(
    monkeypatch: pytest.MonkeyPatch, hashes: list[int], labels: list[int]
) -> tuple[NDArray[np.str_], Development]:
    """Return the groups and the folds of images with these hashes and labels."""
    data = open_model().context.data
    number = iter(hashes)
    monkeypatch.setattr(
        "thaw.advice.tournament.development.difference_hash", lambda _: next(number)
    )
    ids = np.concatenate([data.manifest.ids(TRAIN), data.manifest.ids(VAL)])
    data.manifest.targets[ids] = labels
    found = development(data, 1000, seed=0)
    return found.groups, found


def test_a_chain_of_similar_images_that_joins_most_of_them_joins_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(development(open_model().context.data, 1000, seed=0).ids)
    # Neighbours differ in two bits, so that all of them are one chain of near-duplicates.
    chain = [(1 << 2 * place) - 1 for place in range(count)]
    labels = [place % 3 for place in range(count)]
    groups, found = _groups(monkeypatch, chain, labels)
    assert len(set(groups)) == count
    sizes = [len(fold.predict) for fold in found.folds]
    assert max(sizes) - min(sizes) <= len(set(labels))


def test_a_class_whose_images_look_alike_is_in_every_fold(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(development(open_model().context.data, 1000, seed=0).ids)
    labels = sorted(place % 10 for place in range(count))  # three images a class
    alike = [(0x1111 << 5 * label) | (1 << place % 3) for place, label in enumerate(labels)]
    _, found = _groups(monkeypatch, alike, labels)
    for fold in found.folds:
        assert set(found.targets[fold.predict]) <= set(found.targets[fold.fit])


def test_by_split_training_images_predict_those_of_validation(project: Path) -> None:
    found = development(open_model().context.data, 1000, seed=0).by_split()
    (fold,) = found.folds
    assert not found.is_validation[fold.fit].any()
    assert found.is_validation[fold.predict].all()
    assert len(fold.fit) + len(fold.predict) == len(found.ids)
    assert found.predicted.tolist() == fold.predict.tolist()


@pytest.mark.parametrize("is_validation", [False, True])
def test_by_split_images_of_one_split_have_no_fold(project: Path, is_validation: bool) -> None:
    found = development(open_model().context.data, 15, seed=0)
    of_one = replace(found, is_validation=np.full(15, is_validation))
    assert of_one.by_split().folds == []


def test_a_sample_has_images_of_all_classes(project: Path) -> None:
    found = development(open_model().context.data, 15, seed=0)
    assert len(found.ids) == 15
    assert np.bincount(found.targets).tolist() == [5, 5, 5]
