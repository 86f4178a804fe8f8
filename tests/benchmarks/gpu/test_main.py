from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.gpu.measurement import Figure
from benchmarks.gpu.saved_figures import SavedFigures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

benchmark = importlib.import_module("benchmarks.gpu.__main__")


def test_without_a_gpu_only_the_smoke_test_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmark.main([])
    assert ended.value.code == 2
    assert "torch finds no GPU: --tiny" in capsys.readouterr().err


def test_unknown_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--tiny", "--only", "bare,nothing"])
    assert "no rows nothing: choose from bare, training" in capsys.readouterr().err


def test_rows_that_fail_leave_the_others_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setitem(benchmark.GROUPS, "kills", broken)
    options = ["--tiny", "--repeats", "1", "--only", "kills,bare", "--out", str(tmp_path)]
    assert benchmark.main(options) == 1
    (saved,) = tmp_path.glob("*.jsonl")
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    names = [line["name"] for line in lines if "name" in line]
    assert names == ["bare step, tiny, fp32", "bare forward pass, tiny, fp32"]
    assert "FAILED: kills: RuntimeError: no memory" in saved.with_suffix(".md").read_text()


def test_a_run_stops_before_its_time_is_over_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(_: object) -> Iterator[Figure]:
        while True:
            yield Figure("one more", 1.0)

    monkeypatch.setitem(benchmark.GROUPS, "kills", endless)
    options = ["--tiny", "--only", "kills,bare", "--minutes", "0.01", "--out", str(tmp_path)]
    assert benchmark.main(options) == 1
    (saved,) = tmp_path.glob("*.md")
    text = saved.read_text()
    assert "| one more | 1 |" in text
    assert "STOPPED: kills: the time is over" in text
    assert "STOPPED: bare: the time is over" in text


def test_the_table_of_a_folder_has_the_newest_value_of_each_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, value in (("b", 2.0), ("a", 1.0)):
        saved = SavedFigures(tmp_path / folder, {"GPUs": "1 x H100"})
        saved.add(Figure("speed", value, group="training"))
        saved.path.rename(saved.path.with_name(f"gpu-{int(value)}.jsonl"))
    assert benchmark.main(["--table", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "| speed | 2 |  |  |  |"


def test_a_folder_without_figures_has_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["--table", str(tmp_path)])
    assert ended.value.code == 2
    assert "has no gpu-*.jsonl: name the folder of --out" in capsys.readouterr().err


@pytest.mark.pipelines
def test_the_smoke_test_measures_training_on_a_cpu(tmp_path: Path) -> None:
    found = smoke_test(tmp_path, "--only", "training")
    assert found["unfreeze all, tiny, fp32"] > 0


@pytest.mark.soak
def test_the_smoke_test_measures_every_group_on_a_cpu(tmp_path: Path) -> None:
    found = smoke_test(tmp_path)
    cached = "head warm-up epoch on images over one on cached activations"
    assert found[f"{cached}, test_efficientnet, fp32"] > 1
    assert found["same bits after SIGKILL, kills 1 to 2"] == 2
    assert found["same bits after SIGKILL, kills 3 to 4"] == 2
    assert found["photos, fp32, accuracy beside the CPU's"] == 0
    assert found["epoch, test_efficientnet, fp32, jpeg, many sizes"] > 0
    assert found["search, fastest number of --per-device"] in {1, 2, 3}
    assert found["predict, without the start, 320 x 256 pixels, test_efficientnet, fp32"] > 0


def smoke_test(folder: Path, *options: str) -> dict[str, float]:
    """Return the figures by name."""
    assert benchmark.main(["--tiny", "--repeats", "1", "--out", str(folder), *options]) == 0
    (saved,) = folder.glob("*.jsonl")
    machine, *figures = map(json.loads, saved.read_text().splitlines())
    assert machine["machine"]["GPUs"] == "none"
    return {figure["name"]: figure["value"] for figure in figures}
