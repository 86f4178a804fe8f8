from __future__ import annotations

import io

import numpy as np
import pytest

from thaw.data import pack_index
from thaw.data.pack_index import PackIndex


def saved(index: PackIndex) -> list[list[int]]:
    """Return the rows in the bytes of the file."""
    rows: list[list[int]] = np.load(io.BytesIO(b"".join(index.npy_parts()))).tolist()
    return rows


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_rows_are_written_in_order_over_several_blocks(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_index, "_ROWS", 4)
    index = PackIndex()
    rows = [[number, 2**62 + number, 3, 4, -number] for number in range(count)]
    for row in rows:
        index.append(row)
    assert len(index) == count
    assert saved(index) == rows
    left_out = {0, 4, 7}
    kept = [row for number, row in enumerate(rows) if number not in left_out]
    assert saved(index.without(left_out)) == kept


def test_an_empty_index_is_a_table_without_rows() -> None:
    table = np.load(io.BytesIO(b"".join(PackIndex().npy_parts())))
    assert (table.shape, table.dtype) == ((0, 5), np.int64)
