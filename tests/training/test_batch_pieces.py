from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import tiny
from thaw.data.batches import Batch
from thaw.training.batch_pieces import kept_momentum, pieces, size_of_pieces


def batch(count: int) -> Batch:
    rows = torch.arange(float(count))
    return Batch(rows[:, None], rows.long(), torch.ones(count), np.arange(count), count)


@pytest.mark.parametrize(
    ("batch_size", "world", "parts", "size"),
    [(64, 1, 1, 64), (64, 1, 4, 16), (64, 2, 4, 8), (10, 4, 1, 3), (10, 1, 4, 3)],
)
def test_the_size_of_a_piece_counts_the_images_of_one_process(
    batch_size: int, world: int, parts: int, size: int
) -> None:
    assert size_of_pieces(batch_size, world, parts) == size


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(8, 8, [8]), (3, 8, [3]), (8, 4, [4, 4]), (9, 4, [3, 3, 3]), (1, 1, [1]), (5, 4, [3, 2])],
)
def test_a_batch_is_cut_into_similar_pieces_in_order(
    count: int, size: int, sizes: list[int]
) -> None:
    given = batch(count)
    found = pieces(given, size)
    assert [len(piece.inputs) for piece in found] == sizes
    for name in ("inputs", "targets", "weights"):
        joined = torch.cat([getattr(piece, name) for piece in found])
        assert torch.equal(joined, getattr(given, name)), name


def test_statistics_of_several_pieces_weigh_as_much_as_those_of_one_batch() -> None:
    network = tiny.block(3, 8)
    norm = network[1]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    norm.running_mean = torch.full((8,), 5.0)
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad(), kept_momentum(network, 3):
        for _ in range(3):
            network(images)
    mean = network[0](images).mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, 0.9 * 5.0 + 0.1 * mean)
    assert norm.momentum == 0.1
