from __future__ import annotations

import io

import numpy as np
import pytest

from thaw.system.npy_files import npy_parts


@pytest.mark.parametrize("rows", [0, 1, 7])
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_the_bytes_are_those_of_numpy(rows: int, dtype: str) -> None:
    table = np.arange(rows * 3, dtype=dtype).reshape(rows, 3)
    whole = io.BytesIO()
    np.save(whole, table)
    parts = npy_parts(rows, 3, table.dtype, [table[:2], table[2:]])
    assert b"".join(parts) == whole.getvalue()
