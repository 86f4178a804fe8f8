"""The index of a packed store while it is written: a row per image, in blocks.

An array that grows is moved again and again, and leaves holes in the memory of the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from thaw.data.packed_store import COLUMNS
from thaw.system.npy_files import npy_parts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

_ROWS = 4096  # of a block


class PackIndex:
    """The rows (offset, length, height, width, checksum) of a store."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.int64]] = []
        self._used = _ROWS  # rows of the last block

    def append(self, row: Sequence[int]) -> None:
        """Append the row of an image."""
        if self._used == _ROWS:
            self._blocks.append(np.empty((_ROWS, COLUMNS), dtype=np.int64))
            self._used = 0
        self._blocks[-1][self._used] = row
        self._used += 1

    def __len__(self) -> int:
        return len(self._blocks) * _ROWS + self._used - _ROWS

    def without(self, numbers: Collection[int]) -> PackIndex:
        """Return an index without the rows at these positions."""
        kept = PackIndex()
        left_out = set(numbers)
        rows = (row for block in self._filled() for row in block)
        for number, row in enumerate(rows):
            if number not in left_out:
                kept.append(row)
        return kept

    def npy_parts(self) -> Iterator[bytes]:
        """Yield the bytes of the file ``index.npy``."""
        return npy_parts(len(self), COLUMNS, np.dtype(np.int64), self._filled())

    def _filled(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each block that are filled."""
        left = len(self)
        for block in self._blocks:
            yield block[:left]
            left -= _ROWS
