"""Data sets in the formats of the package ``datasets``, on the disk."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from PIL import Image as PillowImage

from thaw.errors import ThawError
from thaw.ingest.hub_files import is_hub_folder, splits_of
from thaw.ingest.hub_sets import list_hub, list_labels

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = Features({"image": Image(), "label": ClassLabel(names=["cat", "dog"])})


def rows(labels: list[int], shade: int = 0) -> Dataset:
    images = []
    for number in range(len(labels)):
        stream = io.BytesIO()
        PillowImage.new("RGB", (12, 9), (shade + number, 0, 0)).save(stream, "PNG")
        images.append({"bytes": stream.getvalue(), "path": None})
    return Dataset.from_dict({"image": images, "label": labels}, features=FEATURES)


def test_a_set_of_save_to_disk_is_read_with_its_splits(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    DatasetDict({"train": rows([0, 1, 1]), "test": rows([0], 100)}).save_to_disk(folder)
    assert is_hub_folder(folder)
    listing = list_hub("hf:.", folder, tmp_path / "scratch")
    found = [(each.path, each.label, each.split) for each in listing.samples]
    assert found == [
        ("train/00000000.png", "cat", "train"),
        ("train/00000001.png", "dog", "train"),
        ("train/00000002.png", "dog", "train"),
        ("test/00000000.png", "cat", "test"),
    ]
    with PillowImage.open(listing.root / "test/00000000.png") as image:
        assert image.getpixel((0, 0)) == (100, 0, 0)


def test_a_single_saved_table_has_no_splits(tmp_path: Path) -> None:
    rows([0, 1]).save_to_disk(tmp_path / "saved")
    listing = list_labels("hf:.", tmp_path / "saved")
    assert [(each.label, each.split) for each in listing.samples] == [("cat", None), ("dog", None)]


def test_a_local_data_set_is_never_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"has no files, and hf:\. is not downloaded"):
        splits_of(".", None, tmp_path / "raw")


def test_files_that_cannot_be_read_are_to_be_removed_only_where_they_were_downloaded(
    tmp_path: Path,
) -> None:
    (tmp_path / "train.parquet").write_bytes(b"damaged")
    with pytest.raises(ThawError, match="correct its files") as error:
        splits_of(".", None, tmp_path)
    assert "remove" not in str(error.value)
    with pytest.raises(ThawError, match=r"remove what is in it, .* downloads it again"):
        splits_of("owner/name", None, tmp_path)


def test_a_download_that_was_killed_while_it_moved_its_files_is_completed(tmp_path: Path) -> None:
    root, partial = tmp_path / "raw", tmp_path / ".raw.download"
    for folder, split in ((root, "train"), (partial, "test")):
        (folder / split).mkdir(parents=True)
        rows([0, 1]).to_parquet(folder / split / f"{split}.parquet")
    assert set(splits_of("owner/name", None, root)) == {"train", "test"}
    assert not partial.exists()


def test_a_download_that_has_not_ended_is_not_taken(tmp_path: Path) -> None:
    root, partial = tmp_path / "raw", tmp_path / ".raw.download"
    for folder, split in ((root, "train"), (partial, "test")):
        (folder / split).mkdir(parents=True)
        rows([0, 1]).to_parquet(folder / split / f"{split}.parquet")
    (partial / ".cache").mkdir()
    assert set(splits_of("owner/name", None, root)) == {"train"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("train-00000.parquet", True),
        ("data/train-00000.parquet", True),
        ("train/metadata.csv", True),
        ("metadata.jsonl", True),
        ("state.json", True),
        ("labels.csv", False),
        ("cat/a.jpg", False),
    ],
)
def test_the_files_tell_a_data_set_of_the_hub(tmp_path: Path, file: str, *, expected: bool) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"")
    assert is_hub_folder(tmp_path) == expected
