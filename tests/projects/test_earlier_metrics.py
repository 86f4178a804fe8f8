from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from thaw.projects import file_layout
from thaw.projects.earlier_metrics import remove_reports_from_git
from thaw.system.project_paths import DVC_LOCK, REPORTS

if TYPE_CHECKING:
    from pathlib import Path

SCORES = {"test": {"accuracy": 0.9}, "uncalibrated": {"accuracy": 0.8}}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("content", [SCORES, {"test": {"accuracy": 0.7}}])
def test_scores_of_other_forms_move_from_the_metrics_to_the_report(content: object) -> None:
    metrics, report = REPORTS / "evaluate/metrics.json", REPORTS / "evaluate/report.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text(json.dumps(content))
    assert file_layout.pending() == [report]
    file_layout.convert()
    assert json.loads(report.read_text()) == content
    assert json.loads(metrics.read_text()).keys() == {"test"}
    assert file_layout.pending() == []


def test_a_report_that_dvc_keeps_is_not_made_from_the_metrics_in_a_clone() -> None:
    metrics, report = REPORTS / "evaluate/metrics.json", REPORTS / "evaluate/report.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text(json.dumps({"test": {"accuracy": 0.7}}))
    outputs = [{"path": str(path), "md5": "0" * 32} for path in (metrics, report)]
    DVC_LOCK.write_text(json.dumps({"stages": {"evaluate": {"cmd": "", "outs": outputs}}}))
    assert file_layout.pending() == []
    file_layout.convert()
    assert not report.exists()
    DVC_LOCK.write_text(json.dumps({"stages": {"evaluate": {"cmd": "", "outs": outputs[:1]}}}))
    assert file_layout.pending() == [report]


def test_damaged_metrics_stay_for_dvc_to_replace() -> None:
    metrics = REPORTS / "evaluate/metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("{}")
    file_layout.convert()
    assert metrics.read_text() == "{}"
    assert not metrics.with_name("report.json").exists()


def test_reports_leave_the_index_of_git_and_stay_as_files() -> None:
    report, own = REPORTS / "unfreeze/report.json", REPORTS / "unfreeze/mine.json"
    report.parent.mkdir(parents=True)
    for path in (report, own):
        path.write_text("{}")
    remove_reports_from_git()  # no repository: nothing happens
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "add", "--all"], check=True)
    remove_reports_from_git()
    kept = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout
    assert kept.split() == [str(own)]
    assert report.exists()
