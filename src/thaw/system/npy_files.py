"""Files of :func:`numpy.save` that are written in parts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from numpy.lib import format as npy_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray


def npy_parts(
    rows: int, columns: int, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]
) -> Iterator[bytes]:
    """Yield the bytes that :func:`numpy.save` writes of a table (rows, columns).

    ``blocks`` (N, columns) are its rows in order. The whole table is never copied.
    """
    header = io.BytesIO()
    description = npy_format.dtype_to_descr(dtype)
    npy_format.write_array_header_1_0(
        header, {"descr": description, "fortran_order": False, "shape": (rows, columns)}
    )
    yield header.getvalue()
    for block in blocks:
        yield block.astype(dtype, copy=False).tobytes()
