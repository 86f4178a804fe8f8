from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from thaw.ingest import file_states
from thaw.ingest.file_states import FileState, changed_without_time, path_hash, state_row

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def table(**states: tuple[int, str]) -> NDArray[np.uint64]:
    rows = [state_row(path, FileState(*state)) for path, state in states.items()]
    return np.array(rows, dtype=np.uint64).reshape(-1, 3)


STATES = table(a=(10, "aa" * 32), b=(20, "bb" * 32), c=(-5, "cc" * 32))


def test_states_are_read_as_they_were_written(tmp_path: Path) -> None:
    file_states.write(STATES, tmp_path / "new", tmp_path)
    np.testing.assert_array_equal(file_states.read(tmp_path / "new", tmp_path), STATES)


def test_the_states_of_another_folder_are_not_used_and_not_replaced(tmp_path: Path) -> None:
    file_states.write(STATES, tmp_path, tmp_path / "one")
    assert len(file_states.read(tmp_path, tmp_path / "other")) == 0
    file_states.write(STATES[:1], tmp_path, tmp_path / "other")
    np.testing.assert_array_equal(file_states.read(tmp_path, tmp_path / "one"), STATES)


@pytest.mark.parametrize("length", [0, 1, 60, 140, 150])
def test_a_damaged_record_counts_as_none(tmp_path: Path, length: int) -> None:
    folder = tmp_path / "states"
    assert len(file_states.read(folder, tmp_path)) == 0
    file_states.write(STATES, folder, tmp_path)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:length])
    assert len(file_states.read(folder, tmp_path)) == 0


@pytest.mark.parametrize("other", [np.zeros(3), np.zeros((0, 2), dtype=np.uint64), np.array(1)])
def test_another_array_counts_as_none(tmp_path: Path, other: NDArray[Any]) -> None:
    file_states.write(STATES, tmp_path / "states", tmp_path)
    (path,) = (tmp_path / "states").iterdir()
    np.save(path, other)
    assert len(file_states.read(tmp_path / "states", tmp_path)) == 0


def test_a_file_with_another_content_and_the_same_time_is_found() -> None:
    changed = "dd" * 32
    now = table(d=(10, changed), b=(21, changed), a=(10, changed), c=(-5, "cc" * 32))
    assert changed_without_time(STATES, now) == {path_hash("a")}
    assert changed_without_time(STATES, STATES) == set()
    assert changed_without_time(table(), STATES) == set()


@pytest.mark.parametrize("path", ["./red/a.png", "red//a.png", "red/./a.png", "blue/../red/a.png"])
def test_all_spellings_of_a_path_in_a_csv_file_are_one_file(path: str) -> None:
    assert path_hash(path) == path_hash("red/a.png") != path_hash("red/b.png")


def test_the_warning_names_some_of_the_files() -> None:
    assert file_states.warnings([]) == []
    (line,) = file_states.warnings(["a.png"])
    assert line.startswith("1 source file changed since the last run without a change of the")
    (line,) = file_states.warnings([f"{number}.png" for number in range(8)])
    assert "8 source files changed" in line
    assert "0.png, 1.png, 2.png, 3.png, 4.png and 3 more: the disk or a copy may have" in line
