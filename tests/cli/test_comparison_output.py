from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests import settings
from tests.registry.test_stored_results import write_reports
from thaw.cli.comparison_output import print_comparison
from thaw.registry.comparing import compare_results

if TYPE_CHECKING:
    import pytest


def test_metrics_parameters_and_answers_of_two_results_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_reports(tmp_path / "a")
    write_reports(tmp_path / "b")
    (tmp_path / "b/params.yaml").write_text("seed: 8\ndata: {path: 'c:[d]\\'}\n")
    (tmp_path / "b/reports/evaluate/predictions.csv").write_text(
        "path,label,p_cat,p_dog\n1.png,cat,0.25,0.75\n"
    )
    print_comparison(compare_results("a", "b", settings.PARAMS.tracking), Path("compare.html"))
    printed = capsys.readouterr().out
    for part in (
        "A: a",
        "B: b",
        "accuracy",
        "seed: 7 -> 8",
        "-> c:[d]\\\n",
        "\n1 test image: only A is",
        "right on 1, only B on 0",
        "compare.html",
    ):
        assert part in printed
