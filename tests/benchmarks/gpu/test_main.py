from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.gpu.measurement import Figure

if TYPE_CHECKING:
    from pathlib import Path

benchmark = importlib.import_module("benchmarks.gpu.__main__")


def test_the_table_says_which_targets_are_reached() -> None:
    figures = [
        Figure("speed", 0.97, target=0.95),
        Figure("time", 50.0, "s", target=45.0, at_most=True, note="digits"),
        Figure("rate", 1234.5, "images/s"),
    ]
    lines = benchmark.table({"GPUs": "1 x H100"}, figures)
    assert lines[0] == "- GPUs: 1 x H100"
    assert lines[-3:] == [
        "| speed | 0.97 | >= 0.95 | yes |  |",
        "| time | 50 s | <= 45 | no | digits |",
        "| rate | 1234 images/s |  |  |  |",
    ]


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
    (saved,) = tmp_path.glob("*.json")
    names = [figure["name"] for figure in json.loads(saved.read_text())["figures"]]
    assert names == ["bare step, tiny, fp32", "bare forward pass, tiny, fp32"]
    assert "FAILED: kills: RuntimeError: no memory" in saved.with_suffix(".md").read_text()


@pytest.mark.slow
def test_the_smoke_test_measures_training_and_cached_epochs_on_a_cpu(tmp_path: Path) -> None:
    found = smoke_test(tmp_path, "--only", "training,epochs")
    assert found["head warm-up epoch on images over one on cached activations"] > 1
    assert found["unfreeze all, tiny, fp32"] > 0


@pytest.mark.soak
def test_the_smoke_test_measures_every_group_on_a_cpu(tmp_path: Path) -> None:
    found = smoke_test(tmp_path)
    assert found["same bits after SIGKILL, of 2"] == 2
    assert found["photos, fp32, accuracy beside the CPU's"] == 0
    assert found["predict, without the start"] > 0


def smoke_test(folder: Path, *options: str) -> dict[str, float]:
    """Return the figures by name."""
    assert benchmark.main(["--tiny", "--repeats", "1", "--out", str(folder), *options]) == 0
    (saved,) = folder.glob("*.json")
    content = json.loads(saved.read_text())
    assert content["machine"]["GPUs"] == "none"
    return {figure["name"]: figure["value"] for figure in content["figures"]}
