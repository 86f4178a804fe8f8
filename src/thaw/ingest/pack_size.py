"""The size of the packed images, and the share of elongated ones in it.

Images are packed with the same short side. One whose sides are 1 : 100 takes a hundred times the
bytes of a square one, and a small file can hold it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thaw.data.packed_store import PackedStore

_ELONGATED = 10  # longer side over shorter side
_LARGE = 1e9  # bytes; smaller packs give no warning


def summarize(store: PackedStore) -> dict[str, Any]:
    """Return the bytes of the packed pixels, and number and bytes of elongated images."""
    sides = store.shapes(np.arange(len(store), dtype=np.int64))
    sizes = 3 * sides.prod(axis=1)
    elongated = sides.max(axis=1, initial=0) > _ELONGATED * sides.min(axis=1, initial=2**31)
    return {
        "bytes": int(sizes.sum()),
        "elongated_images": int(elongated.sum()),
        "elongated_bytes": int(sizes[elongated].sum()),
    }


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """Return a warning if elongated images make most of a large pack."""
    if summary["bytes"] < _LARGE or summary["elongated_bytes"] < summary["bytes"] / 2:
        return []
    number, gigabytes = summary["elongated_images"], summary["elongated_bytes"] / 1e9
    return [
        f"the packed images have {summary['bytes'] / 1e9:.1f} GB of pixels, {gigabytes:.1f} GB of "
        f"them in {number} images with one side over {_ELONGATED} times the other: crop these, "
        "lower prepare.short_side, or set prepare.encoding to jpeg"
    ]
