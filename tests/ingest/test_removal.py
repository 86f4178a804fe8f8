from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests import tiny
from thaw.errors import ThawError
from thaw.ingest import sources
from thaw.ingest.removal import clear

if TYPE_CHECKING:
    from pathlib import Path

OWN = ("images.raw", "images.jpeg", "index.npy", "manifest.csv", "pack.json", ".pack.json.7.part")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all files that the stage prepare and a file browser may leave."""
    folder = tmp_path / "prepared"
    sources.write_digits(folder / "digits")
    for name in (*OWN, ".DS_Store", "digits/3/Thumbs.db"):
        (folder / name).write_bytes(b"x")
    (folder / "digits/0/0000.png").write_bytes(b"")
    cut = folder / "digits/1/0001.png"
    cut.write_bytes(cut.read_bytes()[:12])
    return folder


def test_files_of_thaw_are_removed(folder: Path) -> None:
    clear(folder)
    assert list(folder.iterdir()) == []


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    clear(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()


@pytest.mark.parametrize(
    "name",
    ["a.png", "images.png", "sub/manifest.csv", ".hidden", "digits/3/a.png", "digits/x/0003.png"],
)
def test_other_files_are_refused_and_nothing_is_removed(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"mine")
    before = sorted(folder.rglob("*"))
    with pytest.raises(ThawError, match=f"contains 1 file that thaw did not write.*{name}"):
        clear(folder)
    assert sorted(folder.rglob("*")) == before


def test_a_photograph_with_the_name_of_a_digit_is_refused(folder: Path) -> None:
    Image.new("RGB", (28, 28)).save(folder / "digits/3/0003.png")
    with pytest.raises(ThawError, match=r"digits/3/0003\.png"):
        clear(folder)


def test_links_to_files_and_folders_are_refused_and_never_followed(
    folder: Path, tmp_path: Path
) -> None:
    mine = tiny.images(tmp_path / "mine")
    (folder / "linked").symlink_to(mine)
    with pytest.raises(ThawError, match="prepared/linked"):
        clear(folder)
    (folder / "linked").unlink()
    (folder / "manifest.csv").unlink()
    (folder / "manifest.csv").symlink_to(mine / "red")
    with pytest.raises(ThawError, match=r"prepared/manifest\.csv"):
        clear(folder)
    assert len(list(mine.rglob("*.png"))) == 36


def test_a_link_of_dvc_to_its_cache_is_removed_and_the_cache_is_kept(
    folder: Path, tmp_path: Path
) -> None:
    shutil.move(folder / "images.raw", tmp_path / "cached")
    (folder / "images.raw").symlink_to(tmp_path / "cached")
    clear(folder)
    assert (tmp_path / "cached").read_bytes() == b"x"


def test_a_file_or_a_link_instead_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ThawError, match="is not a folder"):
        clear(tmp_path / "file")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ThawError, match="is a link to"):
        clear(tmp_path / "link")
    assert len(list(folder.rglob("*.png"))) == 1797


def test_a_folder_that_cannot_be_read_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def denied(path: str | Path) -> object:  # simulated: root can read every folder
        if str(path).endswith("digits"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(ThawError, match="digits cannot be read: Permission denied"):
        clear(folder)
    monkeypatch.undo()
    assert (folder / "manifest.csv").exists()
