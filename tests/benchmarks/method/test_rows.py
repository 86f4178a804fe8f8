from __future__ import annotations

from typing import TYPE_CHECKING, Any

import PIL
import pytest

from benchmarks.datasets.registry import Data
from benchmarks.method.rows import (
    ARMS,
    REFERENCE,
    Arm,
    _digest,
    append,
    missing,
    other_data,
    read,
    selected,
)
from tests.project import ROOT
from thaw.system import tool_lock

if TYPE_CHECKING:
    from pathlib import Path


def _data(folder: Path, name: str = "set") -> Data:
    (folder / "train/a").mkdir(parents=True, exist_ok=True)
    (folder / "train/a/1.png").write_bytes(b"1")
    return Data(name, lambda _: folder, None, flip=False, shows="", licence="")


def _left(data: Data, arms: tuple[Arm, ...], found: list[dict[str, Any]]) -> list[str]:
    return [arm.name for job in missing([data], arms, [0], 5, found) for arm in job.arms]


def test_a_result_is_missing_until_it_is_written_and_again_after_a_change(tmp_path: Path) -> None:
    data, arm, path = _data(tmp_path / "images"), Arm("logistic"), tmp_path / "rows.jsonl"
    (job,) = missing([data], [arm], [0], 5, read(path))
    append(job, arm, 5, {"test_accuracy": 0.5}, path)
    assert _left(data, (arm,), read(path)) == []
    assert _left(data, (Arm("logistic", version=2),), read(path)) == ["logistic"]
    (tmp_path / "images/train/a/1.png").write_bytes(b"2")
    assert _left(data, (arm,), read(path)) == ["logistic"]


def test_a_set_that_differs_from_that_of_the_rows_is_named(tmp_path: Path) -> None:
    data, path = _data(tmp_path / "images"), tmp_path / "rows.jsonl"
    assert other_data([data], [0], read(path)) == ""
    (job,) = missing([data], [Arm("logistic")], [0], 5, [])
    row = append(job, Arm("logistic"), 5, {}, path)
    assert row["pillow"] == PIL.__version__
    assert other_data([data], [0], read(path)) == ""
    (tmp_path / "images/train/a/1.png").write_bytes(b"2")
    problem = other_data([data], [0, 1], read(path))
    assert f"set, seed 0: {_digest(data, 0)}, rows: {row['content']}" in problem
    assert "seed 1" not in problem
    assert f"({PIL.__version__} here)" in problem


def test_the_newest_row_counts(tmp_path: Path) -> None:
    data, arm, path = _data(tmp_path / "images"), Arm("logistic"), tmp_path / "rows.jsonl"
    (job,) = missing([data], [arm], [0], 5, [])
    append(job, arm, 5, {"test_accuracy": 0.5}, path)
    append(job, arm, 5, {"test_accuracy": 0.6}, path)
    assert [row["test_accuracy"] for row in read(path)] == [0.6]


def test_a_row_of_other_code_of_thaw_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, arm, path = (
        _data(tmp_path / "images"),
        Arm("auto", follows_thaw=True),
        tmp_path / "r.jsonl",
    )
    (job,) = missing([data], [arm], [0], 5, [])
    append(job, arm, 5, {}, path)
    assert _left(data, (arm,), read(path)) == []
    lock = tool_lock.installed()
    changed = tool_lock.ToolLock(lock.versions, lock.stages | {"unfreeze": "0"})
    monkeypatch.setattr(tool_lock, "installed", lambda: changed)
    assert _left(data, (arm,), read(path)) == ["auto"]


def test_a_row_without_a_digest_of_its_data_is_out_of_date(tmp_path: Path) -> None:
    data, arm = _data(tmp_path / "images"), Arm("plain")
    row = {"data": "set", "seed": 0, "arm": "plain", "epochs": 5, "version": 1, "size": 64}
    assert _left(data, (arm,), [row]) == ["plain"]


def test_the_published_rows_have_a_digest_and_those_of_thaw_are_of_one_code_for_each_set() -> None:
    rows = read()
    assert all("content" in row for row in rows)
    assert {row["arm"] for row in rows} <= {arm.name for arm in ARMS}
    codes: dict[str, set[str]] = {}
    for row in rows:
        if row["arm"] == REFERENCE:
            codes.setdefault(row["data"], set()).add(row["code"])
    assert {name: len(found) for name, found in codes.items()} == dict.fromkeys(codes, 1)
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert all(code in page for found in codes.values() for code in found)


def test_the_held_out_set_is_selected_only_on_demand() -> None:
    assert "sky" not in {data.name for data in selected([], held_out=False)[0]}
    assert "sky" in {data.name for data in selected([], held_out=True)[0]}
    with pytest.raises(ValueError, match="sky is held out: `--held-out` measures that set"):
        selected(["sky"], held_out=False)


def test_words_select_sets_and_arms() -> None:
    sets, arms = selected(["stamps", "plain"], held_out=False)
    assert [data.name for data in sets] == ["stamps"]
    assert [arm.name for arm in arms] == ["plain"]
    with pytest.raises(ValueError, match="stamp: choose from"):
        selected(["stamp"], held_out=False)
