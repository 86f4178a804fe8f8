from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests import settings
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.ingest import pack_size

if TYPE_CHECKING:
    from pathlib import Path


def packed(folder: Path, *shapes: tuple[int, int]) -> PackedStore:
    with PackWriter(folder, settings.prepare()) as store:
        for height, width in shapes:
            store.add(np.zeros((height, width, 3), np.uint8))
    return PackedStore(folder)


def test_elongated_images_are_counted_with_their_bytes(tmp_path: Path) -> None:
    store = packed(tmp_path, (10, 10), (10, 100), (10, 101), (404, 4))
    assert pack_size.summarize(store) == {
        "bytes": 3 * (100 + 1000 + 1010 + 1616),
        "elongated_images": 2,
        "elongated_bytes": 3 * (1010 + 1616),
    }


def test_an_empty_pack_has_no_bytes(tmp_path: Path) -> None:
    summary = pack_size.summarize(packed(tmp_path))
    assert summary == {"bytes": 0, "elongated_images": 0, "elongated_bytes": 0}
    assert pack_size.warnings(summary) == []


def test_elongated_images_that_make_most_of_a_large_pack_give_a_warning() -> None:
    summary = {"bytes": 1_200_000_000, "elongated_images": 60, "elongated_bytes": 1_180_000_000}
    (line,) = pack_size.warnings(summary)
    assert line.startswith("the packed images have 1.2 GB of pixels, 1.2 GB of them in 60 images")
    assert pack_size.warnings({**summary, "bytes": 2_400_000_000}) == []
    assert pack_size.warnings({**summary, "bytes": 900_000_000}) == []
