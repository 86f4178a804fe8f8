from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.data.pack_writer import PackedSize
from thaw.data.pixel_range import UsedRange
from thaw.errors import ThawError
from thaw.ingest.file_states import FileState
from thaw.ingest.listing import BadFile, Sample
from thaw.ingest.packing_journal import Journal, RecordFile
from thaw.ingest.part_packing import PackedPart
from thaw.ingest.reading import ImageRecord

if TYPE_CHECKING:
    from pathlib import Path


def part(number: int) -> PackedPart:
    """Return a part with an image and two bad files; the second name is not UTF-8."""
    record = ImageRecord(
        sample=Sample(f"a\n/{number}.png", "a\n", "train" if number % 2 else None),
        state=FileState(number, f"{number:064x}"),
        group="ab" * 32,
        width=3,
        height=4,
        conversions=("grey to RGB",),
        used=UsedRange(0.0, 1.0, 0.0, 255.5) if number % 2 else None,
        hash=2**64 - 1 if number % 2 else None,
    )
    bad = [
        BadFile("b/1.png", "the file is empty", "b", FileState(7, "0" * 64)),
        BadFile("b/\udcff.png", "the file's name is not valid UTF-8", "b"),
    ]
    return PackedPart([(record, PackedSize(36, 4, 3, -5)), *bad])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "journal", "key")
    journal.restart(0)
    for number in range(3):
        journal.add(part(number))
    return tmp_path / "journal"


def test_parts_come_back_as_they_were_added(path: Path) -> None:
    assert list(Journal(path, "key").finished()) == [part(0), part(1), part(2)]


def test_parts_of_another_key_are_not_used(path: Path) -> None:
    assert list(Journal(path, "other").finished()) == []


def test_a_missing_journal_has_no_parts(tmp_path: Path) -> None:
    assert list(Journal(tmp_path / "none", "key").finished()) == []


@pytest.mark.parametrize("lost", [1, 30])
def test_an_unfinished_last_line_is_not_used(path: Path, lost: int) -> None:
    path.write_bytes(path.read_bytes()[:-lost])
    assert list(Journal(path, "key").finished()) == [part(0), part(1)]


def test_nothing_is_used_after_a_damaged_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"grey", b"gray")
    path.write_bytes(b"".join(lines))
    assert list(Journal(path, "key").finished()) == [part(0)]


def test_bytes_that_are_no_text_are_not_used(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    assert list(Journal(path, "key").finished()) == []


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_journal_continues_after_the_parts_that_are_kept(path: Path, kept: int) -> None:
    journal = Journal(path, "key")
    journal.restart(kept)
    journal.add(part(9))
    assert list(journal.finished()) == [*[part(number) for number in range(kept)], part(9)]


@pytest.mark.parametrize("kept", [0, 0.5, 0.9])
def test_records_that_are_lost_between_two_passes_are_noticed(path: Path, kept: float) -> None:
    records = RecordFile(Journal(path, "key"), 3)
    assert [record.sample.path for record in records] == [f"a\n/{n}.png" for n in range(3)]
    content = path.read_bytes()
    path.write_bytes(content[: round(kept * len(content))])
    with pytest.raises(ThawError, match=r"damaged while the stage ran \(. of 3 .* run the same"):
        list(records)


def test_groups_that_are_left_out_are_no_lost_records(path: Path) -> None:
    records = RecordFile(Journal(path, "key"), 3)
    records.leave_out(["ab" * 32])
    assert list(records) == []
