"""The cost of checksums: reading packed images and cached activations with and without them.

Images are noise of 256 x 256 pixels, in the page cache. One thread.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from benchmarks.command_line import parser
from thaw.config.prepare_section import Prepare
from thaw.data import packed_store
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.data.preprocessing import Preprocessing
from thaw.system.checksums import is_sealed, seal_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_IMAGES = 2000
_SIDE = 256
_ROUNDS = 5
_ACTIVATIONS = 512 << 20  # bytes


def main() -> None:
    """Print a table: microseconds per image, and seconds per gigabyte of activations."""
    parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = _packed(folder)
        preprocessing = Preprocessing(
            short_side=_SIDE,
            max_megapixels=50.0,
            image_size=224,
            crop_pct=0.875,
            interpolation="bicubic",
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )
        read = _seconds(lambda: _read_all(store))
        with patch.object(packed_store, "checksum", _unchecked(store)):
            unchecked = _seconds(lambda: _read_all(store))
        resized = _seconds(lambda: _resize_all(store, preprocessing))
        activations = folder / "activations"
        activations.write_bytes(bytes(_ACTIVATIONS))
        seal_file(activations)
        checked = _seconds(lambda: is_sealed(activations))
    for name, seconds in (
        ("read an image, without its checksum", unchecked),
        ("read an image, with its checksum", read),
        ("read an image with its checksum and resize it", resized),
    ):
        print(f"{name:50} {seconds / _IMAGES * 1e6:8.1f} us")
    print(f"{'compare activations, per GB':50} {checked / _ACTIVATIONS * 1e9:8.2f} s")


def _packed(folder: Path) -> PackedStore:
    generator = np.random.default_rng(0)
    with PackWriter(folder, Prepare(short_side=_SIDE)) as writer:
        for _ in range(_IMAGES):
            writer.add(generator.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))
    return PackedStore(folder)


def _read_all(store: PackedStore) -> None:
    for number in range(_IMAGES):
        store.read(number)


def _resize_all(store: PackedStore, preprocessing: Preprocessing) -> None:
    for number in range(_IMAGES):
        preprocessing.resize([store.read(number)])


def _unchecked(store: PackedStore) -> Callable[[object], int]:
    """Return a function that returns the expected checksum of each image in turn."""
    expected: NDArray[np.int64] = store._index[:, 4]
    calls = iter(np.tile(expected, _ROUNDS + 1).tolist())
    return lambda _: next(calls)


def _seconds(function: Callable[[], object]) -> float:
    """Return the shortest time of several rounds, after one that is not counted."""
    function()
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
