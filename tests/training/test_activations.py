from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import tiny
from tests.training import phase
from thaw.data.loader import ActivationSource, ImageSource
from thaw.training.activations import cached, sources

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.model.freeze import BatchNormPolicy
    from thaw.training.activations import AtCut

SHAPES = {1: (8, 8, 8), 2: (8, 8, 8), 3: (16,)}


@pytest.fixture
def train(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train")


@pytest.fixture
def val(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "val", phase.VAL)


def at_cut(train: ImageSource, val: ImageSource, cut: int, folder: Path) -> AtCut:
    return sources(tiny.runtime(), phase.model(3 - cut), train, val, cut, folder)


@pytest.mark.parametrize("cut", SHAPES)
def test_cached_activations_are_those_of_the_network(
    tmp_path: Path, train: ImageSource, cut: int
) -> None:
    model = tiny.classifier()
    source = cached(tiny.runtime(), model, train, cut, tmp_path / "cache" / "a.npy")
    places = np.arange(len(train))
    with torch.no_grad():
        images = train.finish(train.read(places), places, epoch=None)
        expected = model.activations(images, cut)
    assert expected.shape == (phase.TRAIN, *SHAPES[cut])
    torch.testing.assert_close(source.read(places), expected, rtol=1e-6, atol=1e-6)
    assert np.array_equal(source.targets, train.targets)


@pytest.mark.parametrize("cut", SHAPES)
@pytest.mark.parametrize("batch_norm", phase.POLICIES)
def test_cached_activations_train_to_the_weights_that_images_train_to(
    tmp_path: Path,
    train: ImageSource,
    val: ImageSource,
    cut: int,
    batch_norm: BatchNormPolicy,
) -> None:
    made = []
    for folder, use in ((tmp_path / "images", 0), (tmp_path / "cached", cut)):
        model = phase.model(3 - cut, batch_norm)
        given = sources(tiny.runtime(), model, train, val, use, folder / "cache")
        progress = phase.fit(folder, model, given.pair, cut=given.cut)
        made.append((phase.state(model), [row.val_loss for row in progress.history]))
    (images, image_losses), (activations, activation_losses) = made
    for name, value in images.items():
        torch.testing.assert_close(activations[name], value, rtol=1e-6, atol=1e-6, msg=name)
    assert activation_losses == pytest.approx(image_losses, rel=1e-6)


def test_both_splits_are_cached_and_enter_at_the_cut(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    made = at_cut(train, val, 2, tmp_path / "cache")
    assert made.cut == 2
    assert [type(source) for source in made.pair] == [ActivationSource, ActivationSource]
    assert [len(source) for source in made.pair] == [phase.TRAIN, phase.VAL]
    names = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert names == ["train-at-2.npy", "val-at-2.npy"]


def test_nothing_is_cached_where_nothing_is_frozen(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    made = at_cut(train, val, 0, tmp_path / "cache")
    assert made.pair == (train, val)
    assert made.cut == 0
    assert not (tmp_path / "cache").exists()


def test_images_that_are_augmented_are_not_cached(tmp_path: Path, val: ImageSource) -> None:
    train = phase.images(tmp_path / "augmented", augmented=True)
    made = at_cut(train, val, 2, tmp_path / "cache")
    assert made.pair == (train, val)
    assert made.cut == 0
    assert not (tmp_path / "cache").exists()


def test_a_file_that_is_there_is_used_as_it_is(tmp_path: Path, train: ImageSource) -> None:
    path = tmp_path / "a.npy"
    cached(tiny.runtime(), tiny.classifier(), train, 3, path)
    changed = np.load(path) + 1
    np.save(path, changed)
    source = cached(tiny.runtime(), tiny.classifier(), phase.Dying(train, 1), 3, path)  # type: ignore[arg-type]
    assert np.array_equal(source.read(np.arange(phase.TRAIN)).numpy(), changed)


@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_while_caching_leaves_no_file_that_would_be_used(
    tmp_path: Path, train: ImageSource, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.training.runtime._SCORE_BATCH", 8)  # several batches
    path = tmp_path / "cache" / "a.npy"
    with pytest.raises(phase.Killed):
        cached(tiny.runtime(), tiny.classifier(), phase.Dying(train, at), 2, path)  # type: ignore[arg-type]
    assert not path.exists()
    cached(tiny.runtime(), tiny.classifier(), train, 2, path)
    whole = tmp_path / "whole.npy"
    cached(tiny.runtime(), tiny.classifier(), train, 2, whole)
    assert path.read_bytes() == whole.read_bytes()
    assert [found.name for found in path.parent.iterdir()] == ["a.npy"]


def test_two_processes_cache_what_one_does(
    tmp_path: Path, train: ImageSource, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = cached(tiny.runtime(), tiny.classifier(), train, 2, tmp_path / "alone.npy")
    both = np.load(phase.two_ranks(tmp_path_factory) / "activations.npy")
    everything = alone.read(np.arange(phase.TRAIN)).numpy()
    np.testing.assert_allclose(both, everything, rtol=1e-6, atol=1e-6)
