"""Stateless random numbers: pure functions of (seed, epoch, image id).

No generator state is saved. The numbers do not depend on how images are batched, on how many
processes train, or on whether the run was killed and resumed.

The generator is counter-based: its output is a pure function of its key and counter (Salmon et al.
2011, Parallel Random Numbers: As Easy as 1, 2, 3).
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class Stream(IntEnum):
    """Independent streams of numbers of one (seed, epoch, image id), one for each use.

    A changed value changes every training result.
    """

    AUGMENTATION = 1
    MIXING = 2
    CACHED_VIEWS = 11


def uniform(
    seed: int, epoch: int, ids: NDArray[np.int64], stream: Stream, count: int
) -> NDArray[np.float64]:
    """Return ``count`` uniform numbers in [0, 1) for each image: (N, count).

    The first numbers do not depend on ``count``.
    """
    rows = np.empty((len(ids), count))
    for row, image_id in zip(rows, ids, strict=True):
        bits = np.random.Philox(key=[seed, epoch], counter=[0, int(image_id), stream, 0])
        np.random.Generator(bits).random(out=row)
    return rows


def named_uniform(
    seed: int, epoch: int, ids: NDArray[np.int64], stream: Stream, names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Return uniform numbers in [0, 1) by name, (N,) each.

    A new name must be appended to ``names``: inserted, it would change the numbers after it.
    """
    columns = uniform(seed, epoch, ids, stream, len(names)).T
    return dict(zip(names, columns, strict=True))


def seeds_from(draws: NDArray[np.float64]) -> Iterator[int]:
    """Yield a generator seed for each uniform number, made of all 53 bits of its mantissa."""
    return (int(draw * 2**53) for draw in draws)


def derived_seed(*parts: int, bits: int = 63) -> int:
    """Return a seed of ``bits`` bits (31 or 63) that depends on ``parts`` only.

    Different parts give independent seeds, unlike sums of them.
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[: (bits + 1) // 8], "little") >> 1


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a permutation of 0 ... count - 1 that depends on (seed, epoch) only."""
    generator = np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 0])
    return np.random.Generator(generator).permutation(count)
