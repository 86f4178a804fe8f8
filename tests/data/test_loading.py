from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import settings
from tests.data.preprocessing import SMALL as PREPROCESSING
from thaw.data.loading import batch_parts
from thaw.data.preprocessing import Preprocessing
from thaw.data.random_draws import shuffled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.data_sections import FixedAugment
    from thaw.data.prepared import Prepared

CPU = torch.device("cpu")
NONE = settings.augment(flip=0.0, rotate=0.0, shift=0.0, zoom=0.0, brightness=0.0, contrast=0.0)
MIXED = settings.augment(flip=0.5, rotate=20.0, mixup=0.4, cutmix=1.0)
SOME = NONE.model_copy(update={"flip": 0.5, "rotate": 20.0, "brightness": 0.1})


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


# Images


@pytest.mark.parametrize(
    ("augmentation", "random"), [(None, False), (NONE, False), (SOME, True), (MIXED, True)]
)
def test_a_source_knows_whether_it_is_random(
    prepared: Prepared, augmentation: FixedAugment | None, random: bool
) -> None:
    assert prepared.images("train", PREPROCESSING, 0, augmentation).is_random == random


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
