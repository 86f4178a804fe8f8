from __future__ import annotations

from pathlib import Path

from tests import settings
from thaw.ingest.listing import Listing, Sample
from thaw.ingest.source_notes import source_notes

CONFIG = settings.prepare(val_fraction=0.2, test_fraction=0.3)


def listed(*splits: str | None) -> Listing:
    samples = [Sample(f"{number}.png", "a", split) for number, split in enumerate(splits)]
    return Listing(Path(), samples, ["a"])


def test_a_plain_source_needs_no_note() -> None:
    assert source_notes(listed(None, None), CONFIG) == []
    assert source_notes(listed("train", "val", "test"), CONFIG) == []


def test_a_split_that_is_drawn_from_the_training_images_is_said() -> None:
    (line,) = source_notes(listed("train", "test"), CONFIG)
    assert "no val split: 20% of the training images" in line
    assert "prepare.val_fraction" in line
    first, second = source_notes(listed("train"), CONFIG)
    assert "no test split: 30%" in first
    assert "no val split: 20%" in second


def test_files_that_are_not_read_are_counted_by_kind() -> None:
    found = listed(None)
    found.ignored.update({"files in folders @eaDir": 5, "Thumbs.db": 1})
    assert source_notes(found, CONFIG) == ["not read: files in folders @eaDir (5), Thumbs.db (1)"]


def test_many_kinds_are_shortened() -> None:
    found = listed(None)
    found.ignored.update({f"kind {number}": 1 for number in range(10)})
    (line,) = source_notes(found, CONFIG)
    assert line.endswith("and 4 more kinds")


def test_notes_of_the_listing_and_of_its_labels_are_there() -> None:
    found = listed(None)
    found.notes.append("a note")
    found.classes.append("b ")
    first, second = source_notes(found, CONFIG)
    assert first == "a note"
    assert "'b '" in second


def test_labels_that_combine_others_are_noted() -> None:
    found = listed(None)
    found.classes += ["b", "a|b"]
    (line,) = source_notes(found, CONFIG)
    assert "'a|b' (0 images)" in line
