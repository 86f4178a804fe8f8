from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from thaw.system import provenance

LOCK = """\
schema: '2.0'
stages:
  prepare:
    cmd: exec thaw stage prepare
    outs: [{path: data/prepared, md5: "1"}]
  evaluate:
    cmd: exec thaw stage evaluate
    outs: [{path: reports/evaluate/metrics.json, md5: "2"}]
"""


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Create a git checkout of a small project in ``folder``, enter it and return its commit."""
    monkeypatch.chdir(folder)
    git("init", "--quiet")
    Path("src").mkdir()
    for name in ("src/code.py", "params.yaml", "dvc.yaml", "thaw.lock", "dvc.lock", "README.md"):
        Path(name).write_text("a")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    return git("rev-parse", "HEAD")


def test_equal_parts_give_an_equal_key_in_any_order_of_their_keys() -> None:
    assert provenance.key({"a": 1, "b": [2.5]}, "x") == provenance.key({"b": [2.5], "a": 1}, "x")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("b", "a")),
        (("ab", "c"), ("a", "bc")),
        (({"a": 1},), ({"a": 1.5},)),
        ((), ("",)),
    ],
)
def test_provenance_keys_of_different_parts_differ(
    one: tuple[object, ...], other: tuple[object, ...]
) -> None:
    assert provenance.key(*one) != provenance.key(*other)


def test_the_git_state_of_an_unchanged_checkout_is_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, monkeypatch)
    assert provenance.git_state() == (commit, False)


def test_files_that_git_would_commit_are_told_from_those_that_it_ignores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    Path(".gitignore").write_text("/mine.txt\n")
    Path("mine.txt").write_text("b")
    Path("params.yaml").write_text("b")
    assert provenance.has_uncommitted([Path("params.yaml"), Path("missing.yaml")])
    assert not provenance.has_uncommitted([Path("dvc.yaml"), Path("mine.txt")])


def test_the_text_of_the_commit_is_that_before_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    Path("params.yaml").write_text("b")
    assert provenance.committed_text(Path("params.yaml")) == "a"
    assert provenance.committed_text(Path("other.yaml")) is None
    Path("params.yaml").write_bytes(b"caf\xe9")
    git("commit", "--quiet", "--all", "--message", "no text")
    assert provenance.committed_text(Path("params.yaml")) is None


@pytest.mark.parametrize(
    "name", ["src/code.py", "src/new.py", "params.yaml", "dvc.yaml", "thaw.lock"]
)
def test_changed_code_or_parameters_are_a_change(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, monkeypatch)
    Path(name).write_text("changed")
    assert provenance.git_state() == (commit, True)


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "thaw.lock"])
def test_a_file_that_git_ignores_is_in_no_commit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    git("rm", "--quiet", "--cached", name)
    Path(".gitignore").write_text(f"/{name}\n")
    git("add", ".gitignore")
    git("commit", "--quiet", "--message", "second")
    assert provenance.git_state() == (git("rev-parse", "HEAD"), True)


def test_a_project_in_a_folder_that_git_ignores_is_in_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, monkeypatch)
    Path(".git/info/exclude").write_text("/inner/\n")
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    Path("params.yaml").write_text("a")
    assert provenance.git_state() == (commit, True)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_is_told_not_to_compare_is_compared(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, monkeypatch)
    git("update-index", flag, "params.yaml")
    assert provenance.git_state() == (commit, False)
    Path("params.yaml").write_text("b")
    assert not git("status", "--porcelain")
    assert provenance.git_state() == (commit, True)


def test_a_file_of_the_same_size_and_time_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, monkeypatch)
    git("config", "core.checkStat", "minimal")
    git("config", "core.trustctime", "false")
    path = Path("params.yaml")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    git("status")  # git notes size and time in its index
    path.write_text("b")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    assert not git("status", "--porcelain")
    assert provenance.git_state() == (commit, True)


def test_a_link_is_committed_with_the_file_that_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    outside, inside = tmp_path.with_name("shared.yaml"), Path("src/shared.yaml")
    for target in (outside, inside):
        target.write_text("a")
        Path("params.yaml").unlink()
        Path("params.yaml").symlink_to(target)
        git("add", ".")
        git("commit", "--quiet", "--message", "link")
        assert provenance.git_state() == (git("rev-parse", "HEAD"), target == outside)


def test_line_ends_that_git_converts_are_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    Path(".gitattributes").write_text("*.yaml text\n")
    Path("params.yaml").write_bytes(b"a: 1\r\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "text")
    assert provenance.git_state() == (git("rev-parse", "HEAD"), False)


def test_new_code_is_a_change_where_git_does_not_show_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, monkeypatch)
    git("config", "status.showUntrackedFiles", "no")
    assert provenance.git_state() == (commit, False)
    Path("src/new.py").write_text("a")
    assert provenance.git_state() == (commit, True)


@pytest.mark.parametrize("name", ["dvc.lock", "README.md", "report.json"])
def test_files_written_by_a_run_do_not_count_as_a_change(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, monkeypatch)
    Path(name).write_text("changed")
    assert provenance.git_state() == (commit, False)


def test_a_folder_outside_a_checkout_has_no_git_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert provenance.git_state() is None


def test_a_checkout_without_a_commit_has_no_git_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    assert provenance.git_state() is None


def test_a_checkout_has_no_git_state_if_git_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state() is None


def test_the_lock_digest_leaves_out_the_stage_that_is_still_running(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    before = provenance.lock_digest(lock)
    lock.write_text(LOCK.replace('"2"', '"3"'))
    assert provenance.lock_digest(lock) == before
    lock.write_text(LOCK.split("  evaluate:")[0])
    assert provenance.lock_digest(lock) == before
    lock.write_text(LOCK.replace('"1"', '"4"'))
    assert provenance.lock_digest(lock) != before


def test_stages_of_the_user_that_dvc_locks_later_leave_the_lock_digest(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    before, earlier = provenance.lock_digest(lock), provenance.earlier_lock_digest(lock)
    assert before == earlier
    lock.write_text(f"{LOCK}  package:\n    cmd: tar cf model.tar models\n")
    assert provenance.lock_digest(lock) == before
    assert provenance.earlier_lock_digest(lock) != earlier


def test_a_missing_lock_file_has_no_digest(tmp_path: Path) -> None:
    assert provenance.lock_digest(tmp_path / "dvc.lock") is None
    assert provenance.earlier_lock_digest(tmp_path / "dvc.lock") is None


def test_the_reason_for_no_commit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert provenance.why_no_commit() == "this is no git checkout"
    git("init", "--quiet")
    assert provenance.why_no_commit() == "this checkout has no commit yet"
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    assert provenance.why_no_commit() == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = provenance.why_no_commit()
    assert reason == "git is not installed, or does not answer: `git --version` must work"


def test_a_damaged_checkout_is_not_called_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    (tmp_path / ".git" / "config").write_text("[core\n")
    found = provenance.no_commit()
    assert found == ("git cannot read this checkout", "`git status` says why")


def test_a_checkout_of_another_user_is_refused_with_the_command_that_accepts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # what git itself is tested with
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert provenance.git_state() is None
    reason = provenance.why_no_commit()
    assert f"git refuses {tmp_path}, which belongs to another user" in reason
    assert "git config --global --add safe.directory" in reason
