from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import settings, tiny
from tests.training import phase
from thaw.errors import ThawError
from thaw.model import head
from thaw.model.classifier import Classifier
from thaw.model.freeze_plan import last_blocks
from thaw.training import lr_range_test
from thaw.training.layerwise_pretraining import pretrain
from thaw.training.lr_range_test import Sweep
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import Runtime
from thaw.training.setup import TrainingSetup
from thaw.training.single_image_steps import batch_norms, fewest_images, trained_norms

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.loading import ImageSource
    from thaw.literals import BatchNormPolicy

COUNT = 2 * phase.BATCH + 1  # the last batch has one image


class Ranks(Runtime):
    """One process that takes the part of the first of two."""

    @property
    def world(self) -> int:
        return 2


def one_pixel_model(depth: int, policy: BatchNormPolicy = "train") -> Classifier:
    """Return a classifier whose second block has maps of one pixel for images of 16 pixels."""
    torch.manual_seed(0)
    blocks = [tiny.block(3, 8, 4), tiny.block(8, 16, 4)]
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    made = Classifier(blocks, pool, head.build(settings.head_spec(hidden=[]), 16, 3))
    phase.set_plan(made, last_blocks(depth, 2, policy))
    return made


@pytest.fixture
def train(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train", COUNT)


@pytest.fixture
def val(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "val", phase.VAL)


@pytest.mark.parametrize(("size", "needed"), [(1, 2), (16, 2), (17, 1), (32, 1)])
def test_a_map_of_one_pixel_needs_two_images_and_a_larger_one_does_not(
    size: int, needed: int
) -> None:
    block = nn.Sequential(nn.Conv2d(3, 8, 3, stride=16, padding=1), nn.BatchNorm2d(8))
    assert fewest_images(block, batch_norms([block]), torch.zeros(1, 3, size, size)) == needed


def test_only_blocks_that_normalise_by_the_batch_count() -> None:
    assert len(trained_norms(one_pixel_model(2))) == 2
    assert len(trained_norms(one_pixel_model(1))) == 1
    assert trained_norms(one_pixel_model(0)) == []
    for policy in ("frozen", "fixed", "affine"):
        assert trained_norms(one_pixel_model(2, policy)) == []


def test_a_last_batch_of_one_image_joins_the_one_before_it(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    seen = phase.Dying(train)
    progress = phase.fit(tmp_path, one_pixel_model(2), (seen, val), phase.config(epochs=2, lr=0.1))
    batches = [places for places in seen.seen if len(places) > 1]
    assert [len(places) for places in batches] == [8, 9, 8, 9]
    for epoch in (batches[:2], batches[2:]):  # each image once per epoch
        assert sorted(np.concatenate(epoch)) == list(range(COUNT))
    assert progress.epoch == 2
    assert progress.history[2].train_loss is not None


def test_a_last_batch_of_one_image_stays_where_it_can_be_normalised(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    for name, made in {
        "larger maps": phase.model(3, "train"),
        "running statistics": one_pixel_model(2, "frozen"),
        "affine": one_pixel_model(2, "affine"),
    }.items():
        seen = phase.Dying(train)
        phase.fit(tmp_path / name, made, (seen, val), phase.config(epochs=1))
        assert [len(places) for places in seen.seen][-3:] == [8, 8, 1]


def test_one_image_per_process_and_step_is_refused_before_training(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    made = one_pixel_model(2)
    before = phase.state(made)
    with pytest.raises(ThawError, match=r"unfreeze\.batch_size to 2 or more.*batch_norm to frozen"):
        phase.fit(tmp_path, made, (train, val), phase.config(batch_size=1))
    assert phase.differing(before, phase.state(made)) == []
    runtime = tiny.runtime()
    ranks = Ranks(runtime.accelerator, 0, 1e9, runtime.precision, asynchronous=False)
    with pytest.raises(ThawError, match=r"unfreeze\.batch_size to 4 or more"):
        phase.fit(tmp_path, made, (train, val), phase.config(batch_size=2), runtime=ranks)


def test_one_image_per_step_trains_nothing_and_is_accepted_without_epochs(
    tmp_path: Path, train: ImageSource, val: ImageSource
) -> None:
    changes: dict[str, Any] = {"batch_size": 1, "epochs": 0}
    progress = phase.fit(tmp_path, one_pixel_model(2), (train, val), phase.config(**changes))
    assert progress.epoch == 0


def test_the_range_test_takes_the_steps_of_the_training(train: ImageSource) -> None:
    seen = phase.Dying(train)
    setup = TrainingSetup(phase.config(), settings.regularize(), phase.SEED)
    inputs = PhaseInputs(seen, train, 0)
    sweep = Sweep(steps=12, low=1e-5, high=1e-3)
    lr_range_test.find(tiny.runtime(), one_pixel_model(2), inputs, setup, sweep)
    assert [len(places) for places in seen.seen if len(places) > 1] == [8, 9] * 6


def test_layerwise_pretraining_takes_every_image_where_one_is_left_over(tmp_path: Path) -> None:
    images = phase.images(tmp_path / "images", 65)  # batches of 64
    seen = phase.Dying(images)
    blocks = one_pixel_model(2).blocks
    errors = pretrain(tiny.runtime(), blocks, seen, 1, phase.SEED)
    assert all(np.isfinite(errors))
    sizes = [len(places) for places in seen.seen if len(places) > 1]
    assert sizes == [64, 65]  # the first block has maps of 4 x 4 pixels


def test_layerwise_pretraining_of_one_image_per_process_is_refused(tmp_path: Path) -> None:
    images = phase.images(tmp_path / "two", 2)
    runtime = tiny.runtime()
    ranks = Ranks(runtime.accelerator, 0, 1e9, runtime.precision, asynchronous=False)
    with pytest.raises(ThawError, match=r"backbone\.layerwise_epochs: there is one training image"):
        pretrain(ranks, one_pixel_model(2).blocks, images, 1, phase.SEED)
