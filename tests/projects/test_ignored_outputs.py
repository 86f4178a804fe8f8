from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from thaw.projects.creation import ignored_by_git
from thaw.projects.ignored_outputs import ignore_outputs, with_missing_lines

NEW = [
    Path("reports/unfreeze/choices.json"),
    Path("reports/index.html"),
    Path("reports/evaluate/metrics.json"),  # git keeps it
    Path("notes.txt"),  # of the user
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a git repository with new outputs, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for path in NEW:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    subprocess.run(["git", "init", "--quiet"], check=True)
    return tmp_path


def test_git_adds_none_of_the_outputs_that_dvc_keeps(project: Path) -> None:
    (project / "reports/unfreeze/.gitignore").write_text("/history.csv")
    ignore_outputs(NEW)
    ignore_outputs(NEW)
    assert (project / "reports/unfreeze/.gitignore").read_text() == "/history.csv\n/choices.json\n"
    subprocess.run(["git", "add", "--all"], check=True)
    added = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout
    assert added.split() == [
        "notes.txt",
        "reports/.gitignore",
        "reports/evaluate/metrics.json",
        "reports/unfreeze/.gitignore",
    ]


def test_a_folder_without_git_stays_as_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(project / "none"))
    ignore_outputs(NEW)
    monkeypatch.setenv("PATH", str(project))
    ignore_outputs(NEW)
    assert not list(project.rglob(".gitignore"))


def test_lines_of_a_new_project_are_added_once() -> None:
    text = "/mlruns/*\n/.thaw/\n!/predictions.csv\n/models/"
    new = with_missing_lines(text)
    assert new.startswith(f"{text}\n\n# Outputs, ")
    assert "\n/dvc_plots/\n" in new
    assert new.count("/mlruns/*\n") == new.count("/models/\n") == 1
    there = ("/predictions.csv.json", "/*.onnx", "/*.pt2")  # not /predictions.csv
    assert new.endswith("\n".join(["/reports/*.png", *there, ""]))
    assert with_missing_lines(new) == new


def test_a_new_project_lacks_no_line() -> None:
    text = ignored_by_git("/data/images/")
    assert with_missing_lines(text) == text
