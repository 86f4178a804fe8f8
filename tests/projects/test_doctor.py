"""Findings of `thaw doctor` in a project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from thaw.projects import doctor
from thaw.projects.creation import create_project
from thaw.projects.finding import Finding, State
from thaw.system import tool_lock
from thaw.system.project_paths import SCRATCH

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, which is entered."""
    create_project(tmp_path / "project", None)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "project"


def found(subject: str) -> Finding:
    (finding,) = [each for each in doctor.examine() if each.subject == subject]
    return finding


@pytest.mark.slow
def test_caches_that_a_stage_writes_and_removes_meanwhile_are_no_error(project: Path) -> None:
    ends = threading.Event()

    def write() -> None:
        while not ends.is_set():
            folders = [SCRATCH / str(number) for number in range(20)]
            for folder in folders:
                folder.mkdir(parents=True)
                (folder / "part").touch()
            for folder in folders:
                shutil.rmtree(folder)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = [doctor._size(SCRATCH) for _ in range(200)]
    finally:
        ends.set()
        writer.join()
    assert set(sizes) == {0}
    (SCRATCH / "a").write_bytes(b"abc")
    assert doctor._size(SCRATCH) == 3


@pytest.mark.slow
def test_the_doctor_tells_what_it_examines_next(project: Path) -> None:
    begun: list[str] = []
    doctor.examine(begun.append)
    assert begun[0] == "packages"
    assert begun[-2:] == ["the project's files", "the store of MLflow"]


@pytest.mark.slow
def test_a_new_project_has_no_problem(project: Path) -> None:
    findings = doctor.examine()
    assert [each for each in findings if each.state is State.ERROR] == []
    assert {"Python", "packages", "GPUs", "disk", "thaw.lock", "MLflow"} <= {
        each.subject for each in findings
    }


@pytest.mark.slow
def test_a_project_without_git_or_commit_is_named_with_the_commands(project: Path) -> None:
    assert [each for each in doctor.examine() if each.subject == "git"] == []
    shutil.rmtree(".git")
    for reason in ("no git checkout", "has no commit yet"):
        finding = found("git")
        assert finding.state is State.WARNING
        assert reason in finding.text
        assert finding.remedy.startswith("`git init && git add --all && git commit")
        subprocess.run(["git", "init", "--quiet"], check=True)


@pytest.mark.slow
def test_a_checkout_that_git_refuses_has_a_remedy_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # what git itself is tested with
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    finding = found("git")
    assert "belongs to another user; DVC stops without git" in finding.text
    assert finding.remedy.startswith("`git config --global --add safe.directory")


def test_another_thaw_that_is_first_in_the_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = [tmp_path / name / "thaw" for name in ("first", "this")]
    for program in programs:
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs[0].parent), prepend=os.pathsep)
    monkeypatch.setattr("sys.argv", [str(programs[1]), "doctor"])
    finding = found("thaw")
    assert f"this is {programs[1]}, but `dvc repro` runs {programs[0]}" in finding.text
    assert f"put {programs[1].parent} first in PATH" in finding.remedy
    monkeypatch.setattr("sys.argv", [str(programs[0]), "doctor"])
    assert [each for each in doctor.examine() if each.subject == "thaw"] == []


def test_a_thaw_that_dvc_cannot_find_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "thaw" else f"/bin/{name}")
    assert found("thaw").text == "the command is not in PATH"


def test_outside_of_a_project_it_names_thaw_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "thaw init" in found("project").remedy


@pytest.mark.slow
def test_in_a_subfolder_of_a_project_it_names_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "notes").mkdir()
    monkeypatch.chdir(project / "notes")
    assert found("project").remedy == f"`cd {project}`, which is one"


@pytest.mark.slow
def test_parameters_that_are_not_valid_are_an_error(project: Path) -> None:
    (project / "params.yaml").write_text("seed: many\n")
    finding = found("parameters")
    assert finding.state is State.ERROR
    assert "seed" in finding.text


@pytest.mark.slow
def test_a_missing_folder_of_images_is_an_error(project: Path) -> None:
    shutil.rmtree(project / "data/raw")
    problem = found("images")
    assert (problem.state, problem.text) == (State.ERROR, "there is no data/raw")
    assert "`thaw check`" in problem.remedy


@pytest.mark.slow
def test_another_version_of_the_code_names_thaw_upgrade(project: Path) -> None:
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, stages={**lock.stages, "unfreeze": "0" * 64}))
    finding = found("thaw.lock")
    assert (finding.state, "unfreeze" in finding.text) == (State.ERROR, True)
    assert "thaw upgrade" in finding.remedy


@pytest.mark.slow
def test_other_libraries_than_those_of_the_lock_are_a_warning(project: Path) -> None:
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, versions={**lock.versions, "timm": "0.1"}))
    finding = found("thaw.lock")
    assert (finding.state, "timm 0.1" in finding.text) == (State.WARNING, True)
    assert "thaw upgrade" in finding.remedy


@pytest.mark.slow
def test_a_lock_of_a_dvc_process_that_ended_is_named(project: Path) -> None:
    free = next(pid for pid in range(400_000, 500_000) if not psutil.pid_exists(pid))
    lock = project / ".dvc/tmp/rwlock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(json.dumps({"x": {"read": [{"pid": free, "cmd": "dvc repro"}]}}))
    finding = found("DVC")
    assert (finding.state, str(free) in finding.text) == (State.WARNING, True)


@pytest.mark.slow
def test_a_full_disk_is_a_warning(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LOW_DISK", float("inf"))
    assert found("disk").state is State.WARNING
