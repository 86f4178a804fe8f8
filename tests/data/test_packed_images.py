from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests import settings
from tests.data.preprocessing import SMALL
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_images import PackedImages, new_buffer, read_packed
from thaw.data.packed_store import PackedStore

if TYPE_CHECKING:
    from pathlib import Path

# Two that are elongated, at places 3 and 6; equal ones are not next to each other.
SHAPES = [(16, 24), (24, 16), (16, 24), (20, 81), (16, 24), (24, 16), (90, 20), (80, 20)]
PREPROCESSING = SMALL.model_copy(update={"interpolation": "bicubic", "crop_pct": 0.875})


def store_of(folder: Path, encoding: str = "raw") -> PackedStore:
    generator = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    with PackWriter(folder, settings.prepare(encoding=encoding)) as writer:
        for height, width in SHAPES:
            writer.add(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return PackedStore(folder)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
@pytest.mark.parametrize("threads", [0, 3])
def test_images_are_grouped_by_size_and_keep_their_places(
    encoding: str, threads: int, tmp_path: Path
) -> None:
    store = store_of(tmp_path, encoding)
    ids = np.array([7, 0, 1, 4, 5, 2, 0])
    pool = ThreadPoolExecutor(threads) if threads else None
    packed = read_packed(store, ids, PREPROCESSING.resize, threads=pool)
    assert len(packed) == 7
    assert [group.places.tolist() for group in packed.groups] == [[1, 3, 5, 6], [2, 4], [0]]
    for places, images in packed.stacks():
        assert images.is_contiguous(memory_format=torch.channels_last)
        for place, image in zip(places, images, strict=True):
            assert np.array_equal(image.permute(1, 2, 0), store.read(int(ids[place])))


def test_elongated_images_are_resized_before_the_copy(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    ids = np.array([0, 3, 6, 7])
    packed = read_packed(store, ids, PREPROCESSING.resize)
    assert packed.resized_places.tolist() == [1, 2]
    assert [group.places.tolist() for group in packed.groups] == [[0], [3]]
    expected = PREPROCESSING.resize([store.read(3), store.read(6)])
    assert torch.equal(packed.resized, expected)


def test_images_that_are_much_larger_than_the_result_are_resized_before_the_copy(
    tmp_path: Path,
) -> None:
    store = store_of(tmp_path)
    packed = read_packed(store, np.array([0, 7, 2]), PREPROCESSING.resize, most_side=79)
    assert packed.resized_places.tolist() == [1]
    assert torch.equal(packed.resized, PREPROCESSING.resize([store.read(7)]))


@pytest.mark.parametrize("ids", [[0, 2], [3, 6], []])
def test_a_batch_may_have_only_images_of_one_kind(ids: list[int], tmp_path: Path) -> None:
    packed = read_packed(store_of(tmp_path), np.array(ids, dtype=np.int64), PREPROCESSING.resize)
    assert len(packed) == len(ids)
    resized = PREPROCESSING.resize_packed(packed)
    assert resized.shape == (len(ids), 3, 16, 16)


def test_all_images_are_in_one_buffer(tmp_path: Path) -> None:
    sizes = []

    def allocate(size: int) -> torch.Tensor:
        sizes.append(size)
        return new_buffer(size)

    packed = read_packed(store_of(tmp_path), np.arange(3), PREPROCESSING.resize, allocate=allocate)
    assert sizes == [3 * 16 * 24 * 3] == [packed.pixels.numel()]


def test_a_function_of_the_tensors_keeps_the_places(tmp_path: Path) -> None:
    packed = read_packed(store_of(tmp_path), np.arange(8), PREPROCESSING.resize)
    moved = packed.mapped(torch.clone)
    assert isinstance(moved, PackedImages)
    assert torch.equal(moved.pixels, packed.pixels)
    assert moved.pixels.data_ptr() != packed.pixels.data_ptr()
    assert torch.equal(moved.resized, packed.resized)
    assert moved.groups == packed.groups
