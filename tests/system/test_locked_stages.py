from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.system.locked_stages import is_cut, read_stages

if TYPE_CHECKING:
    from pathlib import Path

CONFLICT = """schema: '2.0'
stages:
<<<<<<< HEAD
  prepare: {}
=======
  prepare: {cmd: x}
>>>>>>> other
"""


def lock(folder: Path, content: str | bytes) -> Path:
    path = folder / "dvc.lock"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_stages_of_a_lock_are_read(tmp_path: Path) -> None:
    text = "schema: '2.0'\nstages:\n  a: {outs: [{path: x, md5: y}]}\n  b: {cmd: z}\n"
    assert list(read_stages(lock(tmp_path, text))) == ["a", "b"]
    assert read_stages(lock(tmp_path, "schema: '2.0'\n")) == {}
    assert read_stages(tmp_path / "missing") == {}


def test_the_marker_of_a_conflict_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"cannot be read \(line 3 is the marker of a merge conf"):
        read_stages(lock(tmp_path, CONFLICT))


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "3", "{", "stages: []", "stages: {a: 3}", "stages: {a: {outs: {}}}",
        "stages: {a: {outs: [3]}}", "stages: {a: {outs: [{}]}}", "stages: {a: {outs: [{path: 3}]}}",
        "stages: null", "a: b: c", "[" * 999, b"\xff\xfe", b"\x00",
    ],
)  # fmt: skip
def test_a_file_that_dvc_did_not_write_is_one_line(content: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"dvc\.lock .*`git checkout dvc\.lock`") as refused:
        read_stages(lock(tmp_path, content))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("share", [0.0, 0.35, 0.7, 1.0])
def test_a_lock_that_a_killed_dvc_has_begun_is_cut(share: float, tmp_path: Path) -> None:
    text = "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: y\n      md5: z\n"
    path = lock(tmp_path, text[: int(share * len(text))])
    assert is_cut(path) is (share < 1)
    if share == 0:
        with pytest.raises(ThawError, match="run `thaw repair`, then `dvc repro`"):
            read_stages(path)


def test_a_missing_lock_is_not_cut(tmp_path: Path) -> None:
    assert not is_cut(tmp_path / "dvc.lock")


def test_a_folder_in_its_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="cannot be read: "):
        read_stages(tmp_path)
