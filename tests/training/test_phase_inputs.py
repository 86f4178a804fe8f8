from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import tiny
from tests.training import phase
from thaw.data.loading import ActivationSource, ImageSource
from thaw.training.phase_inputs import PhaseInputs, phase_inputs, validation_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import BatchNormPolicy
    from thaw.training.activation_cache import Cache


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("batch_norm", phase.POLICIES)
def test_training_on_cached_activations_gives_the_weights_of_training_on_images(
    tmp_path: Path,
    cache: Cache,
    train: ImageSource,
    val: ImageSource,
    cut: int,
    batch_norm: BatchNormPolicy,
) -> None:
    made = []
    for folder, use in ((tmp_path / "images", 0), (tmp_path / "cached", cut)):
        model = phase.model(3 - cut, batch_norm)
        given = phase_inputs(tiny.runtime(), model, train, val, use, cache)
        progress = phase.fit(folder, model, given.pair, cut=given.cut)
        made.append((phase.state(model), [row.val_loss for row in progress.history]))
    (images, image_losses), (activations, activation_losses) = made
    for name, value in images.items():
        torch.testing.assert_close(activations[name], value, rtol=1e-6, atol=1e-6, msg=name)
    assert activation_losses == pytest.approx(image_losses, rel=1e-6)


def test_both_splits_are_cached_and_enter_at_the_cut(
    cache: Cache, train: ImageSource, val: ImageSource
) -> None:
    made = phase_inputs(tiny.runtime(), phase.model(1), train, val, 2, cache)
    assert made.cut == 2
    assert [type(source) for source in made.pair] == [ActivationSource, ActivationSource]
    assert [len(source) for source in made.pair] == [phase.TRAIN, phase.VAL]
    assert len(list(cache.folder.glob("*.npy"))) == 2


@pytest.mark.parametrize("taps", [(1, 3), (2, 3)])
def test_a_tap_below_the_cut_lowers_it(
    cache: Cache, train: ImageSource, val: ImageSource, taps: tuple[int, ...]
) -> None:
    model = phase.model(1)
    model.outline = replace(model.outline, taps=taps)
    assert phase_inputs(tiny.runtime(), model, train, val, 2, cache).cut == taps[0] - 1
    assert phase_inputs(tiny.runtime(), model, train, val, 3, cache).cut == 3  # all taps are pooled


@pytest.mark.parametrize("augmented", [False, True])
def test_inputs_are_the_images_if_every_epoch_differs_or_no_block_is_frozen(
    tmp_path: Path, cache: Cache, val: ImageSource, augmented: bool
) -> None:
    train = phase.images(tmp_path / "some", augmented=augmented)
    cut = 2 if augmented else 0
    found = phase_inputs(tiny.runtime(), phase.model(3), train, val, cut, cache)
    assert found == PhaseInputs(train, val, 0)
    assert not cache.folder.exists()


def test_a_phase_without_epochs_caches_the_validation_split_alone(
    cache: Cache, train: ImageSource, val: ImageSource
) -> None:
    model = phase.model(1)
    found = validation_inputs(tiny.runtime(), model, train, val, 2, cache)
    assert len(list(cache.folder.glob("*.npy"))) == 1
    assert found.train is train
    full = phase_inputs(tiny.runtime(), model, train, val, 2, cache)
    assert found.cut == full.cut == 2
    places = np.arange(len(val))
    assert torch.equal(found.val.read(places), full.val.read(places))


def test_a_phase_without_epochs_reads_images_where_no_block_is_frozen(
    cache: Cache, train: ImageSource, val: ImageSource
) -> None:
    found = validation_inputs(tiny.runtime(), phase.model(3), train, val, 0, cache)
    assert found == PhaseInputs(train, val, 0)
