from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import tiny
from thaw.errors import ThawError
from thaw.projects.image_survey import survey

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_per_class_is_counted_and_measured(tmp_path: Path) -> None:
    found = survey(tiny.images(tmp_path / "photos", each=5, size=24))
    assert found.data.source == "folder"
    assert found.counts == {"blue": 5, "green": 5, "red": 5}
    assert found.median_side == 24
    assert not found.splits
    assert not found.problems


def test_split_folders_are_recognized(tmp_path: Path) -> None:
    for split, each in (("train", 4), ("val", 2), ("test", 1)):
        tiny.images(tmp_path / "photos" / split, each=each)
    found = survey(tmp_path / "photos")
    assert found.splits == {"train": 12, "val": 6, "test": 3}
    assert found.counts == {"blue": 7, "green": 7, "red": 7}


def test_a_csv_file_is_recognized(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=2)
    (images / "labels.csv").write_text("path,label\nblue/000.png,sea\nred/000.png,fire\n")
    found = survey(images / "labels.csv")
    assert (found.data.source, found.data.root) == ("csv", str(images))
    assert found.counts == {"fire": 1, "sea": 1}


def test_problems_that_prepare_will_refuse_are_listed(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", classes=("red",), each=2)
    (images / "empty").mkdir()
    problems = "\n".join(survey(images).problems)
    assert "there is only one class" in problems
    assert "empty: the class has no image" in problems


def test_an_image_that_cannot_be_read_is_left_out_of_the_sizes(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=2)
    (images / "red" / "broken.png").write_bytes(b"no image")
    found = survey(images)
    assert len(found.short_sides) == 6
    assert found.counts["red"] == 3


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="--images: there is no "):
        survey(tmp_path / "photos")
