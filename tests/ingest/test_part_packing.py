from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests import settings
from tests.ingest.images import read_images, save
from thaw.ingest.folder_source import list_folder
from thaw.ingest.listed_parts import ListedPart, Place
from thaw.ingest.listing import BadFile, Listing, Sample
from thaw.ingest.part_packing import PackedPart, Part, checked_part, pack_part
from thaw.ingest.reading import ReadImage, allowed_of
from thaw.ingest.shared_memory import Slots

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = settings.prepare(encoding="raw")


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    """Three images and an empty file."""
    for number in range(3):
        save(tmp_path / "raw" / "ab"[number % 2] / f"{number}.png", number, size=5 + number)
    (tmp_path / "raw" / "b" / "0.png").write_bytes(b"")
    return list_folder(tmp_path / "raw")


def whole(listing: Listing) -> ListedPart:
    return ListedPart(Place(0, 0), listing.samples)


def packed(listing: Listing, slots: Slots) -> PackedPart:
    slots.use()
    part = Part(whole(listing), 0, listing.root.parent / "0.bin")
    return pack_part(allowed_of(listing), CONFIG, part)


def test_images_are_encoded_one_after_the_other_and_bad_files_take_no_bytes(
    listing: Listing,
) -> None:
    slots = Slots(1, 2000)
    part = packed(listing, slots)
    read = read_images(listing, CONFIG)
    images = [image for image in read if isinstance(image, ReadImage)]
    pixels = np.concatenate([image.pixels.reshape(-1) for image in images])
    assert bytes(slots.content(0)[: len(pixels)]) == pixels.tobytes()
    assert [item for item in part.items if isinstance(item, BadFile)] == [read[2]]
    assert [item[0] for item in part.items if not isinstance(item, BadFile)] == [
        image.record for image in images
    ]
    assert len(part) == 4
    assert [size.length for size in part.sizes] == [image.pixels.size for image in images]


def test_a_part_is_kept_while_its_files_have_the_same_content(listing: Listing) -> None:
    part = packed(listing, Slots(1, 2000))
    os.utime(listing.root / listing.samples[0].path, ns=(0, 5))
    kept = checked_part(allowed_of(listing), CONFIG, (whole(listing), part))
    assert kept is not None
    assert kept.sizes == part.sizes
    first = kept.items[0]
    assert not isinstance(first, BadFile)
    assert first[0].state.modified == 5


@pytest.mark.parametrize("change", ["content", "gone", "repaired", "label", "fewer"])
def test_a_part_is_packed_again_where_anything_changed(listing: Listing, change: str) -> None:
    part = packed(listing, Slots(1, 2000))
    samples = list(listing.samples)
    if change == "content":
        save(listing.root / samples[1].path, seed=9)
    elif change == "gone":
        (listing.root / samples[0].path).unlink()
    elif change == "repaired":
        save(listing.root / samples[2].path, seed=9)
    elif change == "label":
        samples[3] = Sample(samples[3].path, "c")
    else:
        samples.pop()
    assert (
        checked_part(allowed_of(listing), CONFIG, (ListedPart(Place(0, 0), samples), part)) is None
    )
