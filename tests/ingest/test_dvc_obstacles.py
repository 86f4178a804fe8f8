from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.ingest.images import save
from tests.ingest.obstacles import FOLDER, KINDS, make_obstacles
from thaw.ingest.dvc_obstacles import Obstacle, find_obstacles

if TYPE_CHECKING:
    from pathlib import Path


def test_every_kind_of_entry_that_dvc_cannot_read_is_found(tmp_path: Path) -> None:
    make_obstacles(tmp_path / "cat")
    found = {path: reason for path, reason in find_obstacles(tmp_path)}  # noqa: C416
    expected = {str(tmp_path / "cat" / name): reason for name, reason in KINDS.items()}
    assert found == {**expected, str(tmp_path / "cat" / FOLDER): "the name is not valid UTF-8"}


def test_files_folders_and_links_to_them_are_no_obstacles(tmp_path: Path) -> None:
    path = save(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "link.png").symlink_to(path)
    (tmp_path / "dog").symlink_to(tmp_path / "cat")
    (tmp_path / ".hidden").mkdir()
    assert find_obstacles(tmp_path) == []
    assert find_obstacles(tmp_path / "missing") == []


def test_a_hidden_entry_stops_dvc_as_well(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    os.mkfifo(tmp_path / ".cache" / "pipe")
    (found,) = find_obstacles(tmp_path)
    assert found.line == f"{tmp_path}/.cache/pipe: a named pipe"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_file_or_folder_without_permission_is_an_obstacle(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png").chmod(0)
    (tmp_path / "dog").mkdir(mode=0)
    assert [each.path for each in find_obstacles(tmp_path)] == [
        str(tmp_path / "cat" / "1.png"),
        str(tmp_path / "dog"),
    ]


def test_a_name_that_is_no_text_is_shown_with_escapes() -> None:
    assert Obstacle("a/\udcff\n.png", "a pipe").line == "a/\\udcff\\n.png: a pipe"
