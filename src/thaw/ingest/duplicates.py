"""Near-duplicates: images that look the same, by a hash that survives resizing and re-encoding.

A split that divides them scores how well a model remembers, not how well it has learned.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Pairs = NDArray[np.int64]

_SHAPE = (9, 8)  # width and height of the thumbnail: eight differences in each of eight rows
_MARGIN = 32  # of 255: how far a channel of a margin may be from the corner's
_LEAST_CONTRAST = 8.0  # of 255, between the darkest and the brightest of the thumbnail
_STEP = 0.01  # share of that contrast which neighbours must differ by: more than JPEG's noise
_LEAST_STEPS = 10  # of 64; below, the hash says too little to compare images by
_ROWS = 32  # hashes that are compared with all others at once
_IN_FLIGHT = 16  # such comparisons whose pairs may wait: bounds the memory
_MOST_PAIRS = 4_000_000  # pairs that are kept before they are reduced to groups


def difference_hash(pixels: NDArray[np.uint8]) -> int | None:
    """The 64-bit difference hash of (H, W, 3), or None where it would say nothing.

    A margin of one colour is cut off; the rest becomes grey, 9 x 8; a bit tells whether a pixel
    is clearly darker than its right neighbour. An image that is flat, or changes from top to bottom
    alone, has too few differences: all such hashes would be alike, whatever the images show.
    Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013; the margin is ours.
    """
    content = _content(pixels)
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


def _content(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """What lies within a margin of the corner's colour; None where there is nothing else."""
    corner = pixels[0, 0].astype(np.int16)
    differs = (np.abs(pixels - corner) > _MARGIN).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return None
    return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def near_groups(groups: Sequence[str], hashes: Sequence[int | None], bits: int) -> list[str]:
    """The group of each image: equal pixels, and hashes that differ in fewer than ``bits`` bits.

    ``groups`` names the group of equal pixels. Groups join wherever two of their images are
    near, so that the two ends of a chain may be further apart. A group takes the smallest of
    the names that it joins, which do not depend on the order of the images.
    """
    places = [place for place, value in enumerate(hashes) if value is not None]
    if not places:
        return list(groups)
    known = np.array([hashes[place] for place in places], dtype=np.uint64)
    different, which = np.unique(known, return_inverse=True)
    components = _components(different, bits)[which]
    names: dict[int, str] = {}
    for place, component in zip(places, components.tolist(), strict=True):
        names[component] = min(groups[place], names.get(component, groups[place]))
    joined = list(groups)
    for place, component in zip(places, components.tolist(), strict=True):
        joined[place] = names[component]
    return joined


def _components(hashes: Hashes, bits: int) -> NDArray[np.int64]:
    """The number of the group that each hash falls into."""
    count = len(hashes)
    edges: list[Pairs] = []
    kept = 0
    for pairs in _near_pairs(hashes, bits):
        edges.append(pairs)
        kept += len(pairs)
        if kept > _MOST_PAIRS:
            labels = _labels(edges, count)
            # One edge an image, to the first image of its group, says as much as all of them.
            _, first = np.unique(labels, return_index=True)
            edges = [np.stack([np.arange(count), first[labels]], axis=1)]
            kept = count
    return _labels(edges, count)


def _labels(edges: Sequence[Pairs], count: int) -> NDArray[np.int64]:
    pairs = np.concatenate(edges) if edges else np.empty((0, 2), dtype=np.int64)
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, dtype=np.int64)


def _near_pairs(hashes: Hashes, bits: int) -> Iterator[Pairs]:
    """Places (P, 2) of hashes that differ in fewer than ``bits`` bits, some rows at a time.

    Every hash meets every other whose number of set bits is near enough: no pair is missed,
    and no data set is slower than another by more than that. The cost grows with the square:
    100,000 different hashes take some seconds a core, and memory for a few million pairs.
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

    # numpy releases the GIL, so threads are enough and copy nothing.
    starts = iter(range(0, len(ordered), _ROWS))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        while chunk := list(islice(starts, _IN_FLIGHT)):
            yield from pool.map(compare, chunk)
