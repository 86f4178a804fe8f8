"""Tests of thaw.projects.first_commit."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from thaw.projects.creation import create_project
from thaw.projects.first_commit import commit_new_files, has_commit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide git's settings of this machine."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give git a name and an address."""
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "Ada")
    monkeypatch.setenv("EMAIL", "ada@example.org")


@pytest.mark.slow
@pytest.mark.usefixtures("identity")
def test_a_new_project_is_committed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_project(tmp_path / "digits", None)
    monkeypatch.chdir(tmp_path / "digits")
    assert has_commit()
    assert _git("status", "--porcelain") == ""
    assert {"params.yaml", "dvc.yaml", "thaw.lock"} <= set(_git("ls-files").split())


@pytest.mark.slow
@pytest.mark.usefixtures("identity")
def test_files_of_the_user_are_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.txt").write_text("a password")
    create_project(tmp_path, None, existing=True)
    monkeypatch.chdir(tmp_path)
    assert not has_commit()


@pytest.mark.slow
@pytest.mark.usefixtures("identity")
def test_only_files_of_the_project_are_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may have hidden files, and those that are expected beside a project."""
    others = [tmp_path / name for name in (".env", "venv/a.py", "notebooks/a.ipynb", "staged/a")]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("a password")
    (tmp_path / "staged").rename(tmp_path / ".staged")
    monkeypatch.chdir(tmp_path)
    _git("init", "--quiet")
    _git("add", ".staged")
    (tmp_path / "README.md").write_text("of the user")
    create_project(tmp_path, None)
    assert has_commit()
    committed = set(_git("ls-tree", "-r", "--name-only", "HEAD").split())
    assert {"params.yaml", ".dvc/config", "data/raw/README.md"} <= committed
    assert not [name for name in committed if "a password" in (tmp_path / name).read_text()]


@pytest.mark.usefixtures("identity")
def test_a_repository_with_commits_gets_no_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _git("init", "--quiet")
    _git("commit", "--quiet", "--allow-empty", "--message", "mine")
    (tmp_path / "other").touch()
    commit_new_files([tmp_path / "other"])
    assert _git("log", "--format=%s").split() == ["mine"]


@pytest.mark.slow
def test_a_project_is_made_where_git_knows_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").write_text("[user]\n\tuseConfigOnly = true\n")
    create_project(tmp_path / "digits", None)
    monkeypatch.chdir(tmp_path / "digits")
    assert not has_commit()
    assert (tmp_path / "digits/params.yaml").exists()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout
