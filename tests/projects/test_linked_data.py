from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import tiny
from tests.ingest.shards import numbered, write_shard
from thaw.config.data_sections import Data
from thaw.projects.image_survey import Survey, survey
from thaw.projects.linked_data import with_link

LINK = Path("data/raw")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with images and a named pipe; another folder is entered."""
    photos = tiny.images(tmp_path / "photos", each=1)
    os.mkfifo(photos / "red" / "pipe.png")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return photos


def found(root: Path, source: str = "folder") -> Survey:
    path = root if source == "folder" else root / "labels.csv"
    return Survey(Data.model_validate({"source": source, "path": str(path), "root": str(root)}), {})


def test_a_folder_outside_with_entries_that_dvc_cannot_read_gets_a_link(photos: Path) -> None:
    changed, target = with_link(found(photos), LINK)
    assert target == photos
    assert (changed.data.path, changed.data.root) == ("data/raw", "data/raw")
    assert changed.notes[0].startswith(f"data/raw is a link to {photos}, which has 1 entry")


def test_of_a_csv_file_the_folder_of_its_paths_gets_the_link(photos: Path) -> None:
    changed, target = with_link(found(photos, "csv"), LINK)
    assert target == photos
    assert changed.data.path == str(photos / "labels.csv")
    assert changed.data.root == "data/raw"


def test_shards_keep_labels_and_splits_below_the_link(photos: Path) -> None:
    shards = photos.parent / "shards"
    for name in ("train", "test"):
        write_shard(shards / f"{name}-000.tar", numbered(0, 4))
    os.mkfifo(shards / "pipe")
    first = survey(shards)
    changed, target = with_link(first, LINK)
    assert target == shards
    assert (changed.data.path, changed.data.root) == ("data/raw", "data/raw")
    LINK.parent.mkdir()
    LINK.symlink_to(shards)
    again = survey(LINK)
    assert again.data == changed.data
    assert (again.counts, again.splits) == (first.counts, first.splits)


def test_other_folders_stay_as_they_are(photos: Path) -> None:
    inside = found(Path("images"))
    assert with_link(inside, LINK) == (inside, None)
    LINK.mkdir(parents=True)
    assert with_link(found(photos), LINK)[1] is None
    (photos / "red" / "pipe.png").unlink()
    LINK.rmdir()
    assert with_link(found(photos), LINK)[1] is None
