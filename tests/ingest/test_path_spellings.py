from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.ingest.path_spellings import similar_spelling

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("red\\a b.png", "with / in place of \\"),
        ("red%2Fa%20b.png", "without percent encoding"),
        (" red/a b.png\u00a0", "without the spaces or quotes around it"),
        ("\u201cred/a b.png\u201d", "without the spaces or quotes around it"),
        ("red/a b.PNG", "with its extension in lower case"),
        ("red/c.jpg", "with its extension in upper case"),
        ("red/a b", "with the extension .png"),
        ("$COLOUR/a b.png", "in full, without ~ and variables"),
        ("file://{folder}/red/a%20b.png", "without file://"),
    ],
)
def test_a_file_with_a_similar_spelling_is_found(
    path: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "red").mkdir()
    for name in ("a b.png", "c.JPG"):
        (tmp_path / "red" / name).touch()
    monkeypatch.setenv("COLOUR", "red")
    found = similar_spelling(path.format(folder=tmp_path), tmp_path)
    assert found == f": it exists if it is written {how}"


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "without ~" in similar_spelling("~/photos", tmp_path / "elsewhere")


@pytest.mark.parametrize("path", ["https://example.org/a.png", "S3://bucket/a.png"])
def test_an_address_is_named_as_one(path: str, tmp_path: Path) -> None:
    assert similar_spelling(path, tmp_path).startswith(": this is an address")


@pytest.mark.parametrize("path", ["gone.png", "", "a\0b", "~nobody-has-this-name/x", "x" * 5000])
def test_nothing_is_said_about_other_paths(path: str, tmp_path: Path) -> None:
    assert similar_spelling(path, tmp_path) == ""
