from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tests import settings
from tests.ingest.images import save
from thaw.data.packed_store import PackedStore
from thaw.ingest import file_states
from thaw.ingest.folder_source import list_folder
from thaw.ingest.packing import Packed, pack

if TYPE_CHECKING:
    from pathlib import Path


def packed(root: Path, states: Path | None = None, **changes: Any) -> Packed:
    folder = root.parent / "prepared"
    folder.mkdir(exist_ok=True)
    found = list_folder(root)
    result = pack(settings.prepare(**changes), found, folder, root.parent / "scratch", states)
    if states is not None:
        file_states.write(result.states, states, root)
    return result


def test_readable_images_are_packed_and_bad_files_are_collected(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for number in range(4):
        save(root / "ab"[number % 2] / f"{number}.png", number)
    (root / "a" / "2.png").write_bytes(b"")
    (root / "b" / "link").symlink_to(root / "a")
    result = packed(root)
    assert [record.sample.path for record in result.records] == ["a/0.png", "b/1.png", "b/3.png"]
    assert [bad.path for bad in result.bad_files] == ["b/link", "a/2.png"]
    assert len(PackedStore(tmp_path / "prepared")) == 3


def test_identical_images_with_different_labels_are_problems_or_left_out(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for label in "ab":
        save(root / label / "same.png", 0)
        save(root / label / "other.png", ord(label))
    assert len(packed(root).problems) == 1
    result = packed(root, on_conflict="drop")
    assert [record.sample.path for record in result.records] == ["a/other.png", "b/other.png"]
    assert result.dropped == [["a/same.png (a)", "b/same.png (b)"]]


def test_files_that_changed_without_a_change_of_their_time_are_named(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    paths = [save(root / "a" / f"{number}.png", number) for number in range(4)]
    states = tmp_path / "states"
    assert packed(root, states).changed == []
    for number in (1, 2, 3):
        times = paths[number].stat()
        content = b"" if number == 3 else save(tmp_path / "new.png", number + 100).read_bytes()
        paths[number].write_bytes(content)
        if number != 2:
            os.utime(paths[number], ns=(times.st_atime_ns, times.st_mtime_ns))
    os.utime(paths[2], ns=(0, 1))
    result = packed(root, states)
    assert result.changed == ["a/1.png", "a/3.png"]
    (bad,) = result.bad_files
    assert bad.reason.startswith("the file is empty; the content has changed since the last run")
    assert packed(root, states).changed == []


def test_the_states_of_two_folders_of_sources_are_kept_beside_each_other(tmp_path: Path) -> None:
    states, roots = tmp_path / "states", [tmp_path / name / "raw" for name in ("one", "two")]
    for number, root in enumerate(roots):
        save(root / "a" / "0.png", number)  # the same name in both folders
        save(root / "a" / "1.png", number + 2)
        assert packed(root, states).changed == []
    damaged = roots[0] / "a" / "0.png"
    times = damaged.stat()
    damaged.write_bytes(save(tmp_path / "new.png", 100).read_bytes())
    os.utime(damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert packed(roots[1], states).changed == []
    assert packed(roots[0], states).changed == ["a/0.png"]
