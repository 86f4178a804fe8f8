from __future__ import annotations

import os
from pathlib import Path

import pytest

from thaw.errors import ThawError
from thaw.system.path_texts import refuse_undecodable, refuse_undecodable_text

UNDECODABLE = os.fsdecode(b"b\xff")


@pytest.mark.parametrize("name", [UNDECODABLE, f"{UNDECODABLE}/images"])
def test_a_path_with_bytes_that_are_no_text_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(ThawError, match=r"--images .*b\\udcff.*: rename .* LC_ALL=C\.UTF-8"):
        refuse_undecodable(Path(name), "--images")


def test_the_folder_above_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / UNDECODABLE
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(ThawError, match="the folder of the project"):
        refuse_undecodable(Path("mine"), "the folder of the project")


@pytest.mark.parametrize("name", ["bilder", "röd/blå", "写真", "a b%20?", "😀"])
def test_other_names_are_valid(name: str) -> None:
    refuse_undecodable(Path(name), "--images")


def test_a_text_for_the_store_with_bytes_that_are_no_text_is_refused() -> None:
    with pytest.raises(ThawError, match=r"--model 'b\\udcff' has bytes .* correct it; .* LC_ALL"):
        refuse_undecodable_text(UNDECODABLE, "--model")
    refuse_undecodable_text("röd 写真 😀", "--model")
