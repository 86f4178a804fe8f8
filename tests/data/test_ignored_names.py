from __future__ import annotations

import pytest

from thaw.data.ignored_names import ignored_file, ignored_folder, ignored_part


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir", "@EADIR", "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information",
        "#recycle", "Thumbnails", "_thumbs", "__pycache__", "FOUND.017", "__thumb__", "Thumbnail",
        "@eaDir ", "Network Trash Folder", "Temporary Items", "~snapshot", "_gsdata_",
    ],
)  # fmt: skip
def test_folders_of_systems_are_ignored_in_any_case(name: str) -> None:
    assert ignored_folder(name, in_class=False)
    assert ignored_part([name, "1.png"], in_class=True) == f"files in folders {name}"


def test_thumbs_is_a_class_at_the_top_and_thumbnails_inside_of_a_class() -> None:
    assert not ignored_folder("thumbs", in_class=False)
    assert ignored_folder("Thumbs", in_class=True)


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", "ehthumbs.db", "Icon\r"])
def test_files_of_systems_are_ignored(name: str) -> None:
    assert ignored_file(name)
    assert ignored_part(["deep", name], in_class=True) == name.strip()


@pytest.mark.parametrize("parts", [[".x", "1.png"], ["a", ".DS_Store"], [".thumbnails", "1.png"]])
def test_hidden_files_and_folders_are_ignored(parts: list[str]) -> None:
    assert ignored_part(parts, in_class=True) == "hidden files and folders"


@pytest.mark.parametrize(
    "parts",
    [
        ["1.png"],
        ["eaDir", "1.png"],
        ["macosx", "thumbs.png"],
        ["thumb up", "1.png"],
        ["found", "1.png"],
        ["found.1", "1.png"],
    ],
)
def test_other_names_are_read(parts: list[str]) -> None:
    assert ignored_part(parts, in_class=True) is None
