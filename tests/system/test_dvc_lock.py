from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.local import LocalFileSystem
from ruamel.yaml import YAML

from thaw.system import dvc_lock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data/prepared"
    for name in ("pack.json", "a/b.png", "a.png", "a-b.png", "ü/ß.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_the_digest_of_a_folder_is_the_one_that_dvc_computes(folder: Path, tmp_path: Path) -> None:
    system = LocalFileSystem()  # type: ignore[no-untyped-call]
    _, _, made = build(HashFileDB(system, str(tmp_path / "odb")), str(folder), system, "md5")
    assert dvc_lock.folder_md5(folder) == made.hash_info.value


@pytest.mark.parametrize("change", ["byte", "name", "file"])
def test_any_change_of_a_file_changes_the_digest_of_its_folder(folder: Path, change: str) -> None:
    before = dvc_lock.folder_md5(folder)
    if change == "byte":
        (folder / "a/b.png").write_text("a/b.pnG")
    elif change == "name":
        (folder / "a.png").rename(folder / "b.png")
    else:
        (folder / "new").touch()
    assert dvc_lock.folder_md5(folder) != before


def test_paths_in_dvc_lock_are_relative_to_it(folder: Path, tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    assert dvc_lock.recorded_md5(folder, lock) == ""
    lock.write_text("schema: '2.0'")
    assert dvc_lock.recorded_md5(folder, lock) == ""
    out = "{path: data/prepared, hash: md5, md5: abc.dir, size: 1}"
    lock.write_text(f"stages: {{x: {{cmd: x}}, prepare: {{outs: [{{path: y}}, {out}]}}}}")
    assert dvc_lock.recorded_md5(folder, lock) == "abc.dir"
    assert dvc_lock.recorded_md5(folder.parent / "raw", lock) == ""


def test_outputs_inside_of_a_folder_count_as_the_folder_and_others_do_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = dvc_lock.folder_md5(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    outs = [
        {"path": str(path.relative_to(tmp_path)), "md5": hashlib.md5(path.read_bytes()).hexdigest()}
        for path in paths
    ]
    YAML().dump({"stages": {"prepare": {"outs": outs}}}, tmp_path / "dvc.lock")
    (folder / "mine.png").write_text("of the user")
    assert dvc_lock.recorded_md5(folder) == dvc_lock.folder_md5(folder) == whole
    paths[0].write_text("changed")
    changed = dvc_lock.folder_md5(folder)
    paths[0].unlink()
    missing = dvc_lock.folder_md5(folder)
    assert len({whole, changed, missing}) == 3
