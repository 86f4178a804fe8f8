"""Packs of earlier versions: other names of the file of images, no checksums in the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from thaw.data.integrity import DamagedError, check_file, damage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES = {"raw": "images.raw", "jpeg": "images.jpeg"}  # by encoding, which pack.json does not name


def encoding_of(folder: Path) -> str:
    """Return the encoding of a pack of an earlier version, from the name of its images."""
    return "raw" if (folder / IMAGES["raw"]).exists() else "jpeg"


def check(images: Path, sha256: str, index: Path, rows: NDArray[np.int64], encoding: str) -> None:
    """Compare the whole file ``images`` with its digest, and the rows of the index (N, 4) with it.

    Raises:
        DamagedError: a file is damaged.
    """
    check_file(images, sha256)
    offsets, lengths, heights, widths = rows.astype(np.float64).T  # integers might overflow
    is_in_order = np.array_equal(offsets, np.cumsum(lengths) - lengths)
    fits_raw = encoding != "raw" or np.array_equal(lengths, heights * widths * 3)
    if not is_in_order or not fits_raw or lengths.sum() != images.stat().st_size:
        raise DamagedError(damage(index, "its rows do not fit the file of images"))
