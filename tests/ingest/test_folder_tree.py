from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.ingest.images import touch
from thaw.errors import ThawError
from thaw.ingest.folder_tree import Folder, folder_names, top_folders

if TYPE_CHECKING:
    from pathlib import Path


def test_the_folders_at_the_top_come_with_their_folders_and_whether_they_hold_images(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "b/y/1.png", "b/x/1.png", "a/1.JPG", "c/notes.txt", ".git/1.png", "1.png")
    assert top_folders(tmp_path) == [
        Folder(tmp_path / "a", (), has_images=True),
        Folder(tmp_path / "b", ("x", "y"), has_images=False),
        Folder(tmp_path / "c", (), has_images=False),
    ]


def test_a_link_to_itself_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png")
    for loop in (tmp_path / "loop", tmp_path / "a/loop.png"):
        loop.symlink_to(loop)
    assert top_folders(tmp_path) == [Folder(tmp_path / "a", (), has_images=True)]


def test_folders_of_systems_are_left_out_on_both_levels(tmp_path: Path) -> None:
    touch(
        tmp_path, "@eaDir/1.png", "a/@eaDir/1.png", "a/thumbs/1.png", "a/day/1.png", "thumbs/1.png"
    )
    assert [(folder.name, folder.subfolders) for folder in top_folders(tmp_path)] == [
        ("a", ("day",)),
        ("thumbs", ()),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o000)
    with pytest.raises(ThawError, match="locked cannot be read"):
        top_folders(tmp_path)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="gone cannot be read: No such file"):
        folder_names(tmp_path / "gone")


def test_links_that_lead_nowhere_or_to_themselves_are_no_folders(tmp_path: Path) -> None:
    for name in ("loop", "loop.png"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "nowhere").symlink_to("gone")
    touch(tmp_path, "cat/1.png")
    (tmp_path / "cat" / "loop.png").symlink_to("loop.png")
    (tmp_path / "link").symlink_to(tmp_path / "cat")
    assert folder_names(tmp_path) == ["cat", "link"]
    assert [folder.has_images for folder in top_folders(tmp_path)] == [True, True]
