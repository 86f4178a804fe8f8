from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.ingest import file_states
from thaw.ingest.file_states import FileState, changed_without_time

if TYPE_CHECKING:
    from pathlib import Path

STATES = {"a/1.png": FileState(10, "aa"), "a/2.png": FileState(20, "bb")}


def test_states_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "states.json"
    file_states.write(STATES, path, tmp_path)
    assert file_states.read(path, tmp_path) == STATES


def test_the_states_of_another_folder_are_not_used(tmp_path: Path) -> None:
    file_states.write(STATES, tmp_path / "states.json", tmp_path)
    assert file_states.read(tmp_path / "states.json", tmp_path / "other") == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"root": 1}', '{"files": {}}', "7", "\xff"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "states.json"
    assert file_states.read(path, tmp_path) == {}
    path.write_text(content, encoding="latin-1")
    assert file_states.read(path, tmp_path) == {}


def test_a_file_with_another_content_and_the_same_time_is_found() -> None:
    now = {
        "a/1.png": FileState(10, "changed"),
        "a/2.png": FileState(21, "changed"),
        "a/3.png": FileState(10, "new"),
    }
    assert changed_without_time(STATES, now) == ["a/1.png"]
    assert changed_without_time(STATES, STATES) == []


def test_the_warning_names_some_of_the_files() -> None:
    assert file_states.warnings([]) == []
    (line,) = file_states.warnings(["a.png"])
    assert line.startswith("1 source file changed since the last run without a change of the")
    (line,) = file_states.warnings([f"{number}.png" for number in range(8)])
    assert "8 source files changed" in line
    assert "0.png, 1.png, 2.png, 3.png, 4.png and 3 more: the disk or a copy may have" in line
