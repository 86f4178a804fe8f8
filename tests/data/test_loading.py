from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import settings
from thaw.data import manifest
from thaw.data.loading import (
    ActivationSource,
    Batch,
    ImageSource,
    Share,
    Source,
    batches,
    shares,
    shuffled,
)
from thaw.data.manifest import Row
from thaw.data.packed_store import PackWriter
from thaw.data.prepared import Prepared
from thaw.data.preprocessing import Preprocessing
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.config.data_sections import Augment

CPU = torch.device("cpu")
NONE = settings.augment(flip=0.0, rotate=0.0, shift=0.0, zoom=0.0, brightness=0.0, contrast=0.0)
MIXED = settings.augment(flip=0.5, rotate=20.0, mixup=0.4, cutmix=1.0)
SOME = NONE.model_copy(update={"flip": 0.5, "rotate": 20.0, "brightness": 0.1})
PREPROCESSING = Preprocessing(
    short_side=64,
    max_megapixels=1.0,
    image_size=16,
    crop_pct=1.0,
    interpolation="bilinear",
    mean=(0.5, 0.4, 0.3),
    std=(0.1, 0.2, 0.25),
)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """20 images of two sizes in two classes; every second one is for training."""
    config = settings.prepare(
        val_fraction=0.2, test_fraction=0.2, short_side=64, encoding="raw", max_megapixels=1.0
    )
    generator = np.random.default_rng(0)
    sides = [16 if number % 3 else 24 for number in range(20)]
    with PackWriter(tmp_path, config) as writer:
        for side in sides:
            writer.add(generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
    rows = [
        Row(number, f"{number}.png", "", "ab"[number // 5 % 2], ["train", "val"][number % 2], 9, 9)
        for number in range(20)
    ]
    manifest.write(rows, tmp_path)
    return Prepared(tmp_path)


def load(source: Source, parts: list[Share], workers: int = 0, epoch: int = 0) -> list[Batch]:
    return list(batches(source, parts, CPU, workers=workers, epoch=epoch))


# Shares

SIZES = pytest.mark.parametrize("count", [1, 3, 5, 8, 21, 33, 64])
BATCHES = pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 32, 100])
WORLDS = pytest.mark.parametrize("world", [1, 2, 3])


@SIZES
@BATCHES
@WORLDS
def test_the_processes_shares_partition_each_batch(count: int, batch_size: int, world: int) -> None:
    order = shuffled(count, seed=0, epoch=0)
    parts = [shares(order, batch_size, rank, world) for rank in range(world)]
    for number, step in enumerate(zip(*parts, strict=True)):
        batch = order[number * batch_size : (number + 1) * batch_size]
        counted = np.concatenate([part.places[part.weights == 1] for part in step])
        assert sorted(counted) == sorted(batch)
        assert {part.total for part in step} == {len(batch)}


@SIZES
@BATCHES
@WORLDS
def test_every_image_counts_once_in_an_epoch(count: int, batch_size: int, world: int) -> None:
    order = shuffled(count, seed=0, epoch=0)
    parts = [part for rank in range(world) for part in shares(order, batch_size, rank, world)]
    counted = np.concatenate([part.places[part.weights == 1] for part in parts])
    assert sorted(counted) == list(range(count))
    assert sum(float(part.weights.sum()) for part in parts) == count
    assert {float(weight) for part in parts for weight in part.weights} <= {0.0, 1.0}


@SIZES
@BATCHES
@WORLDS
def test_every_process_has_as_much_as_the_others_in_every_step(
    count: int, batch_size: int, world: int
) -> None:
    order = shuffled(count, seed=0, epoch=0)
    parts = [shares(order, batch_size, rank, world) for rank in range(world)]
    for step in zip(*parts, strict=True):
        assert len({len(part.places) for part in step}) == 1
        assert all(len(part.places) == len(part.weights) > 0 for part in step)
        padded = sum(len(part.places) for part in step) - step[0].total
        assert 0 <= padded < world


def test_one_process_gets_the_batches_in_order() -> None:
    order = np.array([3, 1, 4, 0, 2])
    found = shares(order, 2)
    assert [part.places.tolist() for part in found] == [[3, 1], [4, 0], [2]]
    assert [part.total for part in found] == [2, 2, 1]


def test_nothing_makes_no_batch() -> None:
    assert shares(np.array([], dtype=np.int64), 8, rank=1, world=2) == []


# Order


@pytest.mark.parametrize("count", [1, 2, 33, 1000])
def test_the_order_is_a_permutation(count: int) -> None:
    assert sorted(shuffled(count, seed=5, epoch=7)) == list(range(count))


def test_the_order_changes_with_the_epoch_and_the_seed_and_with_nothing_else() -> None:
    pairs = [(seed, epoch) for seed in range(4) for epoch in range(4)]
    np.random.seed(0)  # noqa: NPY002
    orders = {tuple(shuffled(50, *pair)) for pair in pairs}
    np.random.seed(1)  # noqa: NPY002
    assert {tuple(shuffled(50, *pair)) for pair in pairs} == orders
    assert len(orders) == len(pairs)


def test_the_order_is_the_same_on_every_machine() -> None:
    # Golden: with another order, a resumed run would not continue the one that was killed.
    assert shuffled(10, seed=0, epoch=3).tolist() == [5, 6, 4, 8, 0, 1, 2, 9, 7, 3]


# Batches


def test_images_come_with_their_targets_and_weights(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING)
    assert source.ids.tolist() == list(range(0, 20, 2))
    (first, second) = load(source, shares(np.array([9, 0, 4]), 2, rank=1, world=2))
    assert (first.places.tolist(), first.total) == ([0], 2)
    assert (second.places.tolist(), second.weights.tolist(), second.total) == ([4], [0.0], 1)
    assert first.targets.tolist() == prepared.manifest.targets[[0]].tolist()
    assert second.targets.tolist() == prepared.manifest.targets[[8]].tolist()
    pixels = PREPROCESSING.resize([prepared.store.read(0)]).float() / 255
    assert torch.equal(first.inputs, PREPROCESSING.normalize(pixels))


def test_inputs_are_float32_in_channels_last(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING, augmentation=SOME)
    (batch,) = load(source, shares(np.arange(10), 10))
    assert batch.inputs.dtype == torch.float32
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augmentation", [None, SOME, MIXED])
def test_workers_give_the_same_batches(prepared: Prepared, augmentation: Augment | None) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    parts = shares(shuffled(len(source), seed=3, epoch=1), 4, rank=1, world=2)
    here = load(source, parts, workers=0, epoch=1)
    there = load(source, parts, workers=2, epoch=1)
    assert len(here) == len(there) == 3
    for one, two in zip(here, there, strict=True):
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.targets, two.targets)
        assert torch.equal(one.weights, two.weights)
        assert one.places.tolist() == two.places.tolist()


@pytest.mark.parametrize("augmentation", [SOME, MIXED])
def test_an_image_looks_the_same_whatever_batch_and_process_it_is_in(
    prepared: Prepared, augmentation: Augment
) -> None:
    source = prepared.images("train", PREPROCESSING, 3, augmentation)
    (whole,) = load(source, shares(np.arange(10), 10), epoch=2)
    for world, batch_size in ((1, 3), (2, 4), (3, 7)):
        for rank in range(world):
            parts = shares(shuffled(10, seed=1, epoch=1), batch_size, rank, world)
            for batch in load(source, parts, epoch=2):
                assert torch.equal(batch.inputs, whole.inputs[batch.places])
                assert torch.equal(batch.targets, whole.targets[batch.places])


def test_augmentation_is_by_the_images_id_not_by_its_place(prepared: Prepared) -> None:
    train = prepared.images("train", PREPROCESSING, 3, SOME)
    few = ImageSource(
        prepared.store, train.ids[[7, 2]], prepared.manifest.targets, PREPROCESSING, 3, SOME
    )
    (one,) = load(train, shares(np.array([7, 2]), 2))
    (two,) = load(few, shares(np.array([0, 1]), 2))
    assert torch.equal(one.inputs, two.inputs)


def test_nothing_is_random_without_an_epoch(prepared: Prepared) -> None:
    plain = prepared.images("train", PREPROCESSING)
    random = prepared.images("train", PREPROCESSING, 3, SOME)
    parts = shares(np.arange(10), 10)
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


def test_mixed_images_have_shares_of_classes_as_targets(prepared: Prepared) -> None:
    source = prepared.images("train", PREPROCESSING, 3, MIXED)
    (batch,) = load(source, shares(np.arange(10), 10), epoch=1)
    assert batch.inputs.shape == (10, 3, 16, 16)
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.shape == (10, 2)
    torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(10))
    assert ((batch.targets > 0.01) & (batch.targets < 0.99)).any()


def test_nothing_is_mixed_without_an_epoch(prepared: Prepared) -> None:
    parts = shares(np.arange(10), 10)
    (plain,) = batches(prepared.images("train", PREPROCESSING), parts, CPU)
    (found,) = batches(prepared.images("train", PREPROCESSING, 3, MIXED), parts, CPU)
    assert torch.equal(found.inputs, plain.inputs)
    assert torch.equal(found.targets, plain.targets)


def test_a_partner_is_changed_as_it_is_for_itself(prepared: Prepared) -> None:
    cut = MIXED.model_copy(update={"mixup": 0.0})
    alone = MIXED.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    (whole,) = load(prepared.images("train", PREPROCESSING, 3, alone), shares(np.arange(10), 10), 0)
    source = prepared.images("train", PREPROCESSING, 3, cut)
    mixing = source.mixing(0)
    assert mixing is not None
    (found,) = load(source, shares(np.arange(10), 10), epoch=0)
    own, other = whole.inputs, whole.inputs[mixing.with_partners(np.arange(10))[10:]]
    assert ((found.inputs == own) | (found.inputs == other)).all()
    assert not torch.equal(found.inputs, own)


@pytest.mark.parametrize("classes", [None, 7])
def test_classes_are_counted_over_all_splits_unless_given(
    prepared: Prepared, classes: int | None
) -> None:
    targets = np.arange(20) // 5  # of the three images here, all are in the first class
    source = ImageSource(
        prepared.store, np.arange(3), targets, PREPROCESSING, 3, MIXED, classes=classes
    )
    (batch,) = load(source, shares(np.arange(3), 3))
    assert batch.targets.shape == (3, classes or 4)


@pytest.mark.parametrize("shape", [(12, 4, 3, 3), (12, 5)])
@pytest.mark.parametrize("workers", [0, 2])
def test_activations_come_as_they_are(shape: tuple[int, ...], workers: int) -> None:
    activations = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    source = ActivationSource(activations, np.arange(12))
    order = shuffled(12, seed=0, epoch=0)
    found = load(source, shares(order, 5), workers=workers)
    assert np.array_equal(torch.cat([batch.inputs for batch in found]), activations[order])
    assert torch.cat([batch.targets for batch in found]).tolist() == order.tolist()
    if len(shape) == 4:
        assert found[0].inputs.is_contiguous(memory_format=torch.channels_last)


def test_no_prepared_data_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"nothing holds no prepared data: run `dvc repro`"):
        Prepared(tmp_path / "nothing")


def test_a_batch_is_read_in_parts_where_its_images_are_large(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = prepared.images("train", PREPROCESSING)
    places = np.arange(len(images))
    whole, held = images.read(places), []
    resize = Preprocessing.resize

    def counted(self: Preprocessing, part: list[NDArray[np.uint8]]) -> torch.Tensor:
        held.append(sum(image.shape[0] * image.shape[1] for image in part))
        return resize(self, part)

    monkeypatch.setattr(Preprocessing, "resize", counted)
    monkeypatch.setattr("thaw.data.loading._MOST_READ", 1000)
    in_parts = images.read(places)
    assert torch.equal(in_parts, whole)
    assert in_parts.is_contiguous(memory_format=torch.channels_last)
    assert len(held) > 3
    assert max(held) <= 1200  # two images, one of them larger than the mean
    assert images.read(places[:0]).shape == (0, 3, 16, 16)
