from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests import tiny
from tests.cli.verbs import error, run
from thaw import __version__
from thaw.cli.app import app
from thaw.projects.creation import create_project, template
from thaw.system import tool_lock


def test_a_stage_whose_code_is_not_the_locked_one_names_thaw_upgrade(project: Path) -> None:
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, stages={**lock.stages, "prepare": "0" * 64}))
    assert error("stage", "prepare").endswith("run `thaw upgrade`")


def test_upgrade_writes_the_lock_and_names_the_stages_that_run_again(project: Path) -> None:
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, stages={**lock.stages, "fold_bn": "0" * 64}))
    assert "fold_bn" in run("upgrade", "--dry-run")
    assert tool_lock.read() != lock
    done = run("upgrade")
    assert "fold_bn" in done
    assert done.splitlines()[-1] == "Next:  dvc repro"
    assert tool_lock.read() == lock
    assert run("upgrade") == "no stage runs again because of its code\n"


@pytest.mark.slow
def test_an_upgrade_in_a_git_repository_says_what_to_commit_before_dvc_repro(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_project(tmp_path / "project", None)
    monkeypatch.chdir(tmp_path / "project")
    commit = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q"]
    subprocess.run(["git", "add", "--all"], check=True)
    subprocess.run([*commit, "--allow-empty", "-m", "new"], check=True)
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, stages={**lock.stages, "fold_bn": "0" * 64}))
    ignored = Path(".gitignore")
    ignored.write_text(ignored.read_text().replace("/dvc_plots/\n", ""))
    done = run("upgrade").splitlines()
    assert done[0] == "converted: .gitignore"
    assert done[-1] == (
        f"Next:  git add --all && git commit -m 'thaw upgrade to {__version__}' && dvc repro"
    )
    assert ignored.read_text().endswith("\n/dvc_plots/\n")


@pytest.mark.slow
def test_init_prints_what_it_found_and_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.images(tmp_path / "photos", each=3, size=24)
    output = run("init", "flowers", "--images", "photos")
    assert "9 images in 3 classes: blue 3, green 3, red 3" in output
    assert "median 24" in output
    assert "cd flowers && " in output


@pytest.mark.slow
def test_init_asks_for_other_images_where_prepare_will_refuse_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.images(tmp_path / "photos", each=1)
    output = run("init", "flowers", "--images", "photos")
    assert "Next:  correct the data, then cd flowers && " in output


@pytest.mark.slow
def test_init_quotes_the_folder_and_names_it_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = run("init", "my flowers!")
    assert f"new project: {tmp_path / 'my flowers!'}" in output
    assert "then cd 'my flowers!' && " in output


@pytest.mark.slow
def test_init_in_the_working_directory_prints_no_cd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "cd " not in run("init", ".")


@pytest.mark.slow
def test_init_says_that_there_are_more_problems_than_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = tiny.images(tmp_path / "photos", each=3)
    for number in range(20):
        (images / f"empty {number:02d}").mkdir()
    output = run("init", "flowers", "--images", "photos")
    assert "(20 problems)" in output
    assert output.count("the class has no image") == 3
    assert "and 17 more of this kind" in output


@pytest.mark.slow
def test_init_shows_control_characters_of_labels_as_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.images(tmp_path / "photos", classes=("red", "\x1b[31mblue"), each=3)
    output = run("init", "flowers", "--images", "photos")
    assert "\\x1b[31mblue 3" in output
    assert "\x1b" not in output


@pytest.mark.slow
def test_init_says_how_the_folders_were_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("Training", "Testing"):
        tiny.images(tmp_path / "photos" / split, each=3)
    output = run("init", "flowers", "--images", "photos")
    assert "splits: train from Training, test from Testing" in output
    assert "no val split" in output


def test_init_takes_one_value_of_images_and_drops_none_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = error("init", "flowers", "--images", "a.csv", "--images", "b.csv")
    expected = "--images takes one path, not a.csv and b.csv: put the rows of several CSV files"
    assert message.startswith(expected)
    by_shell = error("init", "flowers", "--images", "a.csv", "b.csv")  # --images *.csv
    assert by_shell == message
    many = error("init", "flowers", "--images", "a.csv", *(f"{n}.csv" for n in range(9)))
    assert "not a.csv and 0.csv and 1.csv and 2.csv and 6 more: put" in many
    assert not (tmp_path / "flowers").exists()


@pytest.mark.slow
def test_a_folder_with_the_name_of_an_option_has_its_path_in_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.images(tmp_path / "photos", each=3)
    assert "cd ./- && " in run("init", "-", "--images", "photos")


def test_init_with_two_folders_names_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = error("init", "flowers", "more")
    assert message == "`thaw init` takes one folder, and then got more"
    assert not (tmp_path / "flowers").exists()


def test_init_beside_a_csv_file_says_that_the_project_would_be_among_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = tiny.images(tmp_path / "photos", each=3)
    rows = [
        f"photos/{each.parent.name}/{each.name},{each.parent.name}"
        for each in sorted(images.rglob("*.png"))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    message = error("init", "flowers", "--images", "labels.csv")
    assert f"would be in {tmp_path}: choose another DIR" in message


@pytest.mark.slow
def test_init_without_images_says_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("init", "flowers").splitlines()
    assert lines[1] == "It expects images in its folder data/raw, one folder per class"
    assert lines[-1] == (
        "Next:  put the images there (or change the section data of params.yaml), then "
        "cd flowers && dvc repro"
    )


def test_doctor_ends_with_1_and_the_remedy_where_there_is_an_error(project: Path) -> None:
    lock = tool_lock.installed()
    tool_lock.write(lock)
    (project / ".dvc").mkdir()
    (project / "dvc.yaml").write_text(template("dvc.yaml.template"))
    assert "X" not in [line[:3].strip() for line in run("doctor").splitlines()]
    tool_lock.write(replace(lock, stages={**lock.stages, "prepare": "0" * 64}))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "-> `thaw upgrade`" in result.output
