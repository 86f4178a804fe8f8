from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import settings
from tests.data.preprocessing import SMALL as PREPROCESSING
from thaw.data.loading import (
    ActivationSource,
    Batch,
    BatchPart,
    ImageSource,
    Source,
    batch_parts,
    batches,
)
from thaw.data.preprocessing import Preprocessing
from thaw.data.random_draws import shuffled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.data_sections import Augment
    from thaw.data.prepared import Prepared

CPU = torch.device("cpu")
NONE = settings.augment(flip=0.0, rotate=0.0, shift=0.0, zoom=0.0, brightness=0.0, contrast=0.0)
MIXED = settings.augment(flip=0.5, rotate=20.0, mixup=0.4, cutmix=1.0)
SOME = NONE.model_copy(update={"flip": 0.5, "rotate": 20.0, "brightness": 0.1})


def load(source: Source, parts: list[BatchPart], workers: int = 0, epoch: int = 0) -> list[Batch]:
    return list(batches(source, parts, CPU, workers=workers, epoch=epoch))


# Parts of batches

SPREADS = pytest.mark.parametrize(
    ("count", "batch_size", "world"),
    [(1, 1, 1), (1, 8, 3), (3, 2, 2), (5, 4, 3), (8, 8, 2), (21, 8, 3), (33, 4, 2), (64, 100, 3)],
)


@SPREADS
def test_the_parts_of_all_processes_partition_each_batch(
    count: int, batch_size: int, world: int
) -> None:
    order = shuffled(count, seed=0, epoch=0)
    parts = [batch_parts(order, batch_size, rank, world) for rank in range(world)]
    for number, step in enumerate(zip(*parts, strict=True)):
        batch = order[number * batch_size : (number + 1) * batch_size]
        counted = np.concatenate([part.indices[part.weights == 1] for part in step])
        assert sorted(counted) == sorted(batch)
        assert {part.total for part in step} == {len(batch)}


@SPREADS
def test_every_image_counts_once_per_epoch(count: int, batch_size: int, world: int) -> None:
    order = shuffled(count, seed=0, epoch=0)
    parts = [part for rank in range(world) for part in batch_parts(order, batch_size, rank, world)]
    counted = np.concatenate([part.indices[part.weights == 1] for part in parts])
    assert sorted(counted) == list(range(count))
    assert sum(float(part.weights.sum()) for part in parts) == count
    assert {float(weight) for part in parts for weight in part.weights} <= {0.0, 1.0}


@SPREADS
def test_all_processes_get_equally_many_images_in_every_step(
    count: int, batch_size: int, world: int
) -> None:
    order = shuffled(count, seed=0, epoch=0)
    parts = [batch_parts(order, batch_size, rank, world) for rank in range(world)]
    for step in zip(*parts, strict=True):
        assert len({len(part.indices) for part in step}) == 1
        assert all(len(part.indices) == len(part.weights) > 0 for part in step)
        padded = sum(len(part.indices) for part in step) - step[0].total
        assert 0 <= padded < world


def test_one_process_gets_the_batches_in_order() -> None:
    order = np.array([3, 1, 4, 0, 2])
    found = batch_parts(order, 2)
    assert [part.indices.tolist() for part in found] == [[3, 1], [4, 0], [2]]
    assert [part.total for part in found] == [2, 2, 1]


def test_an_empty_order_gives_no_batch() -> None:
    assert batch_parts(np.array([], dtype=np.int64), 8, rank=1, world=2) == []


# Batches


def test_batches_hold_images_with_their_targets_and_weights(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING)
    assert source.ids.tolist() == list(range(0, 20, 2))
    (first, second) = load(source, batch_parts(np.array([9, 0, 4]), 2, rank=1, world=2))
    assert (first.indices.tolist(), first.total) == ([0], 2)
    assert (second.indices.tolist(), second.weights.tolist(), second.total) == ([4], [0.0], 1)
    assert first.targets.tolist() == prepared.manifest.targets[[0]].tolist()
    assert second.targets.tolist() == prepared.manifest.targets[[8]].tolist()
    pixels = PREPROCESSING.resize([prepared.store.read(0)]).float() / 255
    assert torch.equal(first.inputs, PREPROCESSING.normalize(pixels))


def test_inputs_are_float32_in_channels_last(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING, augmentation=SOME)
    (batch,) = load(source, batch_parts(np.arange(10), 10))
    assert batch.inputs.dtype == torch.float32
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augmentation", [None, SOME, MIXED])
def test_loader_processes_give_the_same_batches(
    prepared: Prepared, augmentation: Augment | None
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    parts = batch_parts(shuffled(len(source), seed=3, epoch=1), 4, rank=1, world=2)
    here = load(source, parts, workers=0, epoch=1)
    there = load(source, parts, workers=2, epoch=1)
    assert len(here) == len(there) == 3
    for one, two in zip(here, there, strict=True):
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.targets, two.targets)
        assert torch.equal(one.weights, two.weights)
        assert one.indices.tolist() == two.indices.tolist()


@pytest.mark.parametrize("augmentation", [SOME, MIXED])
def test_an_image_is_the_same_in_any_batch_and_process(
    prepared: Prepared, augmentation: Augment
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    (whole,) = load(source, batch_parts(np.arange(10), 10), epoch=2)
    for world, batch_size in ((1, 3), (2, 4), (3, 7)):
        for rank in range(world):
            parts = batch_parts(shuffled(10, seed=1, epoch=1), batch_size, rank, world)
            for batch in load(source, parts, epoch=2):
                assert torch.equal(batch.inputs, whole.inputs[batch.indices])
                assert torch.equal(batch.targets, whole.targets[batch.indices])


def test_augmentation_depends_on_the_image_id_and_not_on_its_index(prepared: Prepared) -> None:
    train = prepared.images("train", PREPROCESSING, 3, SOME)
    few = ImageSource(
        prepared.store, train.ids[[7, 2]], prepared.manifest.targets, PREPROCESSING, 3, SOME
    )
    (one,) = load(train, batch_parts(np.array([7, 2]), 2))
    (two,) = load(few, batch_parts(np.array([0, 1]), 2))
    assert torch.equal(one.inputs, two.inputs)


def test_nothing_is_random_without_an_epoch(prepared: Prepared) -> None:
    plain = prepared.images("train", PREPROCESSING)
    random = prepared.images("train", PREPROCESSING, 3, SOME)
    parts = batch_parts(np.arange(10), 10)
    (expected,) = batches(plain, parts, CPU, epoch=None)
    (evaluated,) = batches(random, parts, CPU, epoch=None)
    (trained,) = batches(random, parts, CPU, epoch=0)
    assert torch.equal(evaluated.inputs, expected.inputs)
    assert not torch.equal(trained.inputs, expected.inputs)


@pytest.mark.parametrize(
    ("augmentation", "random"), [(None, False), (NONE, False), (SOME, True), (MIXED, True)]
)
def test_a_source_knows_whether_it_is_random(
    prepared: Prepared, augmentation: Augment | None, random: bool
) -> None:
    assert prepared.images("train", PREPROCESSING, 0, augmentation).is_random == random


# Mixing


def test_the_targets_of_mixed_images_are_fractions_of_classes(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING, 3, MIXED)
    (batch,) = load(source, batch_parts(np.arange(10), 10), epoch=1)
    assert batch.inputs.shape == (10, 3, 16, 16)
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.shape == (10, 2)
    torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(10))
    assert ((batch.targets > 0.01) & (batch.targets < 0.99)).any()


def test_nothing_is_mixed_without_an_epoch(prepared: Prepared) -> None:
    parts = batch_parts(np.arange(10), 10)
    (plain,) = batches(prepared.images("train", PREPROCESSING), parts, CPU)
    (found,) = batches(prepared.images("train", PREPROCESSING, 3, MIXED), parts, CPU)
    assert torch.equal(found.inputs, plain.inputs)
    assert torch.equal(found.targets, plain.targets)


def test_a_partner_has_its_own_augmentation(prepared: Prepared) -> None:
    cut = MIXED.model_copy(update={"mixup": 0.0})
    alone = MIXED.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    (whole,) = load(
        prepared.images("train", PREPROCESSING, 3, alone), batch_parts(np.arange(10), 10), 0
    )
    source = prepared.images("train", PREPROCESSING, 3, cut)
    mixing = source.mixing(0)
    assert mixing is not None
    (found,) = load(source, batch_parts(np.arange(10), 10), epoch=0)
    own, other = whole.inputs, whole.inputs[mixing.append_partners(np.arange(10))[10:]]
    assert ((found.inputs == own) | (found.inputs == other)).all()
    assert not torch.equal(found.inputs, own)


def test_classes_are_counted_over_all_splits(prepared: Prepared) -> None:
    targets = np.arange(20) // 5  # the three images of this source are all in the first class
    source = ImageSource(prepared.store, np.arange(3), targets, PREPROCESSING, 3, MIXED)
    (batch,) = load(source, batch_parts(np.arange(3), 3))
    assert batch.targets.shape == (3, 4)


@pytest.mark.parametrize("shape", [(12, 4, 3, 3), (12, 5)])
@pytest.mark.parametrize("workers", [0, 2])
def test_activations_are_loaded_unchanged(shape: tuple[int, ...], workers: int) -> None:
    activations = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    source = ActivationSource(activations, np.arange(12))
    order = shuffled(12, seed=0, epoch=0)
    found = load(source, batch_parts(order, 5), workers=workers)
    assert np.array_equal(torch.cat([batch.inputs for batch in found]), activations[order])
    assert torch.cat([batch.targets for batch in found]).tolist() == order.tolist()
    if len(shape) == 4:
        assert found[0].inputs.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_of_large_images_is_read_in_parts(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = prepared.images("train", PREPROCESSING)
    indices = np.arange(len(images))
    whole, held = images.read(indices), []
    resize = Preprocessing.resize

    def counted(self: Preprocessing, part: list[NDArray[np.uint8]]) -> torch.Tensor:
        held.append(sum(image.shape[0] * image.shape[1] for image in part))
        return resize(self, part)

    monkeypatch.setattr(Preprocessing, "resize", counted)
    monkeypatch.setattr("thaw.data.loading._MOST_PIXELS_READ", 1000)
    in_parts = images.read(indices)
    assert torch.equal(in_parts, whole)
    assert in_parts.is_contiguous(memory_format=torch.channels_last)
    assert len(held) > 3
    assert max(held) <= 1200  # two images, one of them larger than the mean
    assert images.read(indices[:0]).shape == (0, 3, 16, 16)
