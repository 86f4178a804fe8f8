from __future__ import annotations

import os
from pathlib import Path

import pytest

from thaw.system.path_relations import described, folders_around, relation_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [
        ("data", "data", "is"),
        ("data", "./x/../data/", "is"),
        ("data/raw", "data", "is inside"),
        ("data", "data/raw", "contains"),
        ("data", "database", None),
        ("data/raw", "data/prepared", None),
    ],
)
def test_the_relation_does_not_depend_on_the_spelling(
    first: str, second: str, relation: str | None
) -> None:
    assert relation_of(Path(first), Path(second)) == relation
    assert relation_of(Path(first).absolute(), Path(second)) == relation


def test_the_folders_around_a_path_are_those_of_all_its_names(folder: Path) -> None:
    (folder / "disk/unfreeze").mkdir(parents=True)
    (folder / "one").mkdir()
    (folder / "one/models").symlink_to(folder / "disk")
    (folder / "two").symlink_to("one/models")
    around = set(folders_around(Path("two/unfreeze/x")))
    inside = {str(path.relative_to(folder)) for path in around if path.is_relative_to(folder)}
    assert inside == {
        ".", "two", "two/unfreeze", "one", "one/models", "one/models/unfreeze", "disk",
        "disk/unfreeze",
    }  # fmt: skip
    (folder / "loop").symlink_to("loop")
    assert folder in set(folders_around(Path("loop/x")))


def test_links_are_followed(folder: Path) -> None:
    (folder / "data/raw").mkdir(parents=True)
    (folder / "link").symlink_to("data/raw")
    assert relation_of(Path("link"), Path("data/raw")) == "is"
    assert relation_of(Path("link/x"), Path("data")) == "is inside"


def test_a_folder_with_two_paths_is_recognised(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate a bind mount, or a file system that ignores case: two paths, one inode."""
    (folder / "data/PREPARED/mine").mkdir(parents=True)
    (folder / "data/prepared").mkdir()
    stat = os.stat

    def one_inode(path: str | Path, **options: bool) -> os.stat_result:
        return stat(os.fspath(path).replace("data/prepared", "data/PREPARED"), **options)

    assert relation_of(Path("data/PREPARED/mine"), Path("data/prepared")) is None
    monkeypatch.setattr(os, "stat", one_inode)
    assert relation_of(Path("data/PREPARED/mine"), Path("data/prepared")) == "is inside"
    assert relation_of(Path("data/PREPARED"), Path("data/prepared")) == "is"
    assert relation_of(Path("data/PREPARED"), Path("data/prepared/x")) == "contains"


def test_a_path_behind_a_link_is_described_with_the_real_path(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "link").symlink_to("photos")
    assert described(Path("photos")) == "photos"
    assert described(Path("link")) == f"link ({os.path.realpath(folder / 'photos')})"
