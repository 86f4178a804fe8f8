from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests import tiny
from thaw.errors import ThawError
from thaw.ingest.removal import clear, refuse_unusable

if TYPE_CHECKING:
    from pathlib import Path

OWN = ("images.bin", "index.npy", "manifest.csv", "pack.json", ".pack.json.7.part")
MINE = ("a.png", "images.png", "images.jpeg", "sub/manifest.csv", ".hidden", "digits/3/0003.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all files that the stage prepare may leave."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    for name in OWN:
        (folder / name).write_bytes(b"x")
    return folder


def test_files_of_thaw_are_removed(folder: Path) -> None:
    clear(folder)
    assert list(folder.iterdir()) == []


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    clear(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()


def test_other_files_stay(folder: Path) -> None:
    for name in MINE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    clear(folder)
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(folder)) for path in left) == sorted(MINE)
    assert all(path.read_text() == str(path.relative_to(folder)) for path in left)


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    mine = tiny.images(tmp_path / "mine")
    (folder / "linked").symlink_to(mine)
    (folder / "digits").symlink_to(mine)
    (folder / "manifest.csv").unlink()
    (folder / "manifest.csv").symlink_to(mine / "red/000.png")
    clear(folder)
    assert len(list(mine.rglob("*.png"))) == 36
    assert sorted(path.name for path in folder.iterdir()) == ["digits", "linked"]


@pytest.mark.parametrize("name", ["manifest.csv", "images.bin"])
def test_a_folder_with_the_name_of_an_output_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    mine = tiny.images(folder / name)
    for refuse in (refuse_unusable, clear):
        with pytest.raises(ThawError, match=f"{name} is a folder, but .* move it"):
            refuse(folder)
    assert len(list(mine.rglob("*.png"))) == 36
    assert len(list(folder.iterdir())) == len(OWN)


def test_a_link_of_dvc_to_its_cache_is_removed_and_the_cache_is_kept(
    folder: Path, tmp_path: Path
) -> None:
    shutil.move(folder / "images.bin", tmp_path / "cached")
    (folder / "images.bin").symlink_to(tmp_path / "cached")
    clear(folder)
    assert (tmp_path / "cached").read_bytes() == b"x"


def test_a_file_or_a_link_instead_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ThawError, match="is not a folder"):
        clear(tmp_path / "file")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ThawError, match="is a link to"):
        clear(tmp_path / "link")
    assert len(list(folder.iterdir())) == len(OWN)


def test_a_folder_of_shards_is_removed_and_one_with_a_file_of_the_user_is_refused(
    folder: Path,
) -> None:
    shards = folder / "images.bin"
    shards.unlink()
    shards.mkdir()
    for number in range(3):
        (shards / f"0000{number}.bin").write_bytes(b"x")
    (shards / "mine.png").write_bytes(b"x")
    with pytest.raises(ThawError, match=r"images.bin is a folder, but .* move it"):
        clear(folder)
    (shards / "mine.png").rename(folder / "mine.png")
    clear(folder)
    assert not shards.exists()
    assert (folder / "mine.png").exists()
