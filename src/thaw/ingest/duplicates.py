"""Near-duplicates: images that look the same, found by a hash that ignores size and encoding.

If near-duplicates are in different splits, the scores measure memory and not generalisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.system.bounded_pool import map_in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Pairs = NDArray[np.int64]

_SHAPE = (9, 8)  # width and height of the thumbnail: 8 differences in each of 8 rows
_MARGIN = 32  # of 255: largest difference between a channel of the margin and the corner
_LEAST_CONTRAST = 8.0  # of 255, between the darkest and the brightest pixel of the thumbnail
_STEP = 0.01  # fraction of that contrast by which neighbours must differ: above JPEG noise
_LEAST_STEPS = 10  # of 64 neighbours; with fewer steps, different images have equal hashes
_ROWS = 32  # hashes that are compared with all others in one step
_PENDING_PER_CORE = 4  # such steps whose pairs wait to be used: bounds the memory
_MOST_PAIRS = 4_000_000  # pairs in memory before they are reduced to groups


def difference_hash(pixels: NDArray[np.uint8]) -> int | None:
    """Return the 64-bit difference hash of an image (H, W, 3); None if it has too little structure.

    A margin of one colour is cut off; the rest is converted to grey and resized to 9 x 8. A bit is
    1 if a pixel is clearly darker than its right neighbour. Images that are flat, or change from
    top to bottom only, have too few differences: their hashes would be equal for different images.

    Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013; cutting the margin is an
    addition.
    """
    content = _without_margin(pixels)
    if content is None:
        return None
    grey = Image.fromarray(content).convert("L").convert("F")
    small = np.asarray(grey.resize(_SHAPE, Image.Resampling.BOX))
    contrast = float(np.ptp(small))
    steps = np.diff(small, axis=1)
    least = _STEP * contrast
    if contrast < _LEAST_CONTRAST or np.count_nonzero(np.abs(steps) > least) < _LEAST_STEPS:
        return None
    return int.from_bytes(np.packbits(steps > least).tobytes(), "big")


def _without_margin(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the part inside a margin of the corner's colour; None if the margin is everything."""
    corner = pixels[0, 0].astype(np.int16)
    differs = (np.abs(pixels - corner) > _MARGIN).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return None
    return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def near_groups(groups: Sequence[str], hashes: Sequence[int | None], bits: int) -> list[str]:
    """Return the group of near-duplicates of each image.

    ``groups`` (N,) are the groups of equal pixels. Two groups are merged if the hashes of two of
    their images differ in fewer than ``bits`` bits, so the ends of a chain may differ more. A
    merged group has the smallest of the merged names; it does not depend on the order of images.
    """
    indices = [index for index, value in enumerate(hashes) if value is not None]
    if not indices:
        return list(groups)
    known = np.array([hashes[index] for index in indices], dtype=np.uint64)
    distinct, inverse = np.unique(known, return_inverse=True)
    components = _components(distinct, bits)[inverse].tolist()
    names: dict[int, str] = {}
    for index, component in zip(indices, components, strict=True):
        names[component] = min(groups[index], names.get(component, groups[index]))
    merged = list(groups)
    for index, component in zip(indices, components, strict=True):
        merged[index] = names[component]
    return merged


def _components(hashes: Hashes, bits: int) -> NDArray[np.int64]:
    """Return the number of the connected component of each hash."""
    count = len(hashes)
    edges: list[Pairs] = []
    kept = 0
    for pairs in _near_pairs(hashes, bits):
        edges.append(pairs)
        kept += len(pairs)
        if kept > _MOST_PAIRS:
            labels = _labels(edges, count)
            # One edge from each hash to the first hash of its component is equivalent.
            _, first = np.unique(labels, return_index=True)
            edges = [np.stack([np.arange(count), first[labels]], axis=1)]
            kept = count
    return _labels(edges, count)


def _labels(edges: Sequence[Pairs], count: int) -> NDArray[np.int64]:
    """Return the component number of each of ``count`` nodes."""
    # Imported here: stages that fit nothing import this module, and the import takes long.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.concatenate(edges) if edges else np.empty((0, 2), dtype=np.int64)
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, dtype=np.int64)


def _near_pairs(hashes: Hashes, bits: int) -> Iterator[Pairs]:
    """Yield indices (P, 2) of hashes that differ in fewer than ``bits`` bits, in parts.

    Every hash is compared with every other whose number of set bits differs by less than ``bits``,
    so no pair is missed. The cost is quadratic: 100,000 different hashes take some seconds per
    core, and memory for a few million pairs.
    """
    ones = np.bitwise_count(hashes)
    order = np.argsort(ones, kind="stable")
    ordered, counts = hashes[order], ones[order].astype(np.int64)
    ends = np.searchsorted(counts, counts + bits, side="left")

    def compare(start: int) -> Pairs:
        stop = min(start + _ROWS, len(ordered))
        others = ordered[start : ends[stop - 1]]
        near = np.bitwise_count(ordered[start:stop, None] ^ others) < bits
        rows, columns = np.nonzero(near)
        later = columns > rows
        return np.stack([order[start + rows[later]], order[start + columns[later]]], axis=1)

    starts = range(0, len(ordered), _ROWS)
    yield from map_in_order(compare, starts, pending_per_core=_PENDING_PER_CORE)
