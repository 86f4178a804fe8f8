from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import settings
from tests.ingest.images import save
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.ingest import part_reading
from thaw.ingest.folder_source import list_folder
from thaw.ingest.listing import BadFile
from thaw.ingest.packing_journal import JOURNAL, Journal
from thaw.ingest.part_reading import PARTIAL, packed_parts, packing_key

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.ingest.listing import Listing

CONFIG = settings.prepare(short_side=16, encoding="raw")
NAMES = ("images.bin", "index.npy", "pack.json")


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """300 images, more than are pending at once, of sizes that take differently long."""
    root = tmp_path_factory.mktemp("raw")
    for number in range(300):
        save(root / "ab"[number % 2] / f"{number:03d}.png", number, 60 if number % 7 == 0 else 2)
    return list_folder(root)


def pack(listing: Listing, folder: Path, scratch: Path, stop: int | None = None) -> list[str]:
    """Pack a listing; stop by an error after ``stop`` parts. Return the paths in order."""
    paths = []
    for each in (folder, scratch):
        each.mkdir(exist_ok=True)
    journal = Journal(scratch / JOURNAL, packing_key(CONFIG, listing))
    with PackWriter(folder, CONFIG, scratch / PARTIAL) as store:
        for number, part in enumerate(packed_parts(CONFIG, listing, store, journal)):
            if number == stop:
                raise KeyboardInterrupt
            paths += [
                item.path if isinstance(item, BadFile) else item[0].sample.path
                for item in part.items
            ]
    return paths


def content(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in NAMES]


@pytest.mark.parametrize("few", [1, 10_000])
def test_images_are_packed_in_the_order_of_the_listing_by_processes_and_by_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: Listing, few: int
) -> None:
    monkeypatch.setattr(part_reading, "_FEW", few)
    paths = pack(listing, tmp_path / "out", tmp_path / "scratch")
    assert paths == [sample.path for sample in listing.samples]
    assert len(PackedStore(tmp_path / "out")) == 300
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == [JOURNAL]


def test_processes_threads_and_files_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: Listing
) -> None:
    pack(listing, tmp_path / "one", tmp_path / "scratch one")
    monkeypatch.setattr(part_reading, "_LARGEST_SLOT", 1000)  # the parts go through files
    pack(listing, tmp_path / "two", tmp_path / "scratch two")
    monkeypatch.setattr(part_reading, "_FEW", 10_000)
    pack(listing, tmp_path / "three", tmp_path / "scratch three")
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "three")


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 1, 7, 18])
def test_a_stopped_run_continues_and_gives_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], listing: Listing, stop: int
) -> None:
    pack(listing, tmp_path / "whole", tmp_path / "other")
    capsys.readouterr()
    scratch = tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):
        pack(listing, tmp_path / "out", scratch, stop)
    assert pack(listing, tmp_path / "out", scratch) == [sample.path for sample in listing.samples]
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    kept = min(300, 16 * (stop + 1))  # the part that was not yielded was written
    assert capsys.readouterr().err == f"continuing: {kept} of 300 images are packed already\n"


@pytest.mark.slow
def test_a_damaged_file_of_a_stopped_run_is_packed_again_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], listing: Listing
) -> None:
    pack(listing, tmp_path / "whole", tmp_path / "other")
    scratch = tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):
        pack(listing, tmp_path / "out", scratch, 9)
    partial = bytearray((scratch / PARTIAL).read_bytes())
    partial[len(partial) // 2] ^= 1
    (scratch / PARTIAL).write_bytes(partial)
    capsys.readouterr()
    pack(listing, tmp_path / "out", scratch)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert "continuing: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"short_side": 17},
        {"encoding": "jpeg"},
        {"near_duplicates": 3},
        {"range": "image"},
        {"jpeg_pixels": "all"},
        {"shard_mb": 1},
    ],
)
def test_other_settings_start_again(listing: Listing, change: dict[str, Any]) -> None:
    changed = settings.prepare(**{"short_side": 16, "encoding": "raw", **change})
    assert packing_key(changed, listing) != packing_key(CONFIG, listing)


def test_the_shares_of_splits_do_not_matter_for_packing(listing: Listing) -> None:
    changed = settings.prepare(short_side=16, encoding="raw", val_fraction=0.3)
    assert packing_key(changed, listing) == packing_key(CONFIG, listing)
