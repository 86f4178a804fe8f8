from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests import tiny
from thaw import __version__
from thaw.cli.project_output import (
    command_after_upgrade,
    print_survey,
    print_upgrade,
    survey_content,
    upgrade_content,
)
from thaw.config.renames import Rename
from thaw.projects.image_survey import survey
from thaw.projects.unfinished_upgrade import UnfinishedUpgrade
from thaw.projects.upgrade import Upgrade
from thaw.system import tool_lock

if TYPE_CHECKING:
    import pytest


def test_the_content_of_a_survey_has_counts_sizes_and_problems(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", each=30, size=24)
    (images / "empty").mkdir()
    found = survey(images)
    content = survey_content(found)
    assert content["classes"] == {"blue": 30, "empty": 0, "green": 30, "red": 30}
    assert content["short_side"] == {"min": 24, "median": 24, "max": 24}
    assert content["problems"] == found.problems
    assert any("the class has no image" in problem for problem in content["problems"])


def test_images_without_a_readable_header_have_no_sizes(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_text("no image")
    assert survey_content(survey(tmp_path))["short_side"] is None


def test_many_classes_are_printed_shortened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tiny.images(tmp_path / "photos", tuple(f"kind {n:02d}" for n in range(15)), each=1)
    print_survey(survey(images), tmp_path)
    printed = capsys.readouterr().out
    assert "15 images in 15 classes: kind 00 1, " in printed
    assert "and 3 more" in printed


def test_an_upgrade_is_printed_and_has_the_same_content(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = Upgrade(
        lock=tool_lock.installed(),
        texts={Path("dvc.yaml"): "text"},
        changed=["unfreeze", "evaluate"],
        renames=[Rename("a.b", "a.c")],
        outputs=[Path("reports/x.json")],
        note=UnfinishedUpgrade({}, [], [], [], keep=False),
        removable=["tests"],
        kept=["evaluate"],
        not_kept={"fold_bn": "its parameters"},
    )
    content = upgrade_content(plan)
    assert content["converted"] == [Path("dvc.yaml"), Path("reports/x.json")]
    assert content["renamed"] == {"a.b": "a.c"}
    assert content["runs_again"] == ["unfreeze"]
    print_upgrade(plan)
    assert capsys.readouterr().out.splitlines() == [
        "converted: dvc.yaml, reports/x.json",
        "renamed in params.yaml: a.b -> a.c",
        "outputs kept, made by other code: evaluate",
        "not kept: fold_bn, in which more than the code has changed: its parameters",
        "`dvc repro` runs again, because the code is another: unfreeze",
        "not needed any more, you can remove: tests",
    ]


def test_outputs_that_git_ignores_are_not_to_be_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".gitignore").write_text("/reports/\n")
    for command in ("init", "add --all", "-c user.name=t -c user.email=t@x.org commit -m new"):
        subprocess.run(["git", *command.split()], check=True, capture_output=True)
    report = Path("reports/evaluate/report.json")
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    plan = Upgrade(
        lock=tool_lock.installed(),
        texts={},
        changed=[],
        renames=[],
        outputs=[report],
        note=UnfinishedUpgrade({}, [], [], [], keep=False),
        removable=[],
    )
    assert command_after_upgrade(plan) == ""
    Path("params.yaml").write_text("")
    commit = f"git add --all && git commit -m 'thaw upgrade to {__version__}'"
    changed = replace(plan, texts={Path("params.yaml"): ""})
    assert command_after_upgrade(changed) == commit


def test_a_file_that_is_no_image_is_not_counted_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tiny.images(tmp_path / "images", each=4)
    (images / "red/notes.txt").write_text("text")
    print_survey(survey(images), tmp_path)
    printed = capsys.readouterr().out
    assert "13 files in 3 classes: blue 4, green 4, red 5\n" in printed
    assert "notes.txt: not an image: text" in printed
