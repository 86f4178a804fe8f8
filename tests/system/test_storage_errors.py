from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from thaw.system.storage_errors import reason, uncaught_failure, write_failure


def error_of(number: int, path: str | None = "a.bin") -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "No space left on device; free some space on its disk"),
        (errno.EDQUOT, "Disk quota exceeded; free some space of your quota"),
        (errno.EROFS, "Read-only file system; mount its file system for writing"),
        (errno.EIO, "Input/output error; the disk reports an error"),
        (errno.EFBIG, "File too large; raise the limit"),
    ],
)
def test_a_message_names_the_path_the_reason_and_what_helps(number: int, remedy: str) -> None:
    message = write_failure(Path("a/b"), error_of(number), "7 bytes")
    assert message.startswith(f"a/b: could not write 7 bytes: {remedy}")
    assert message.endswith("then run the same command")


def test_an_error_that_no_free_space_helps_is_named_as_the_system_names_it() -> None:
    assert reason(error_of(errno.ENOTDIR)) == os.strerror(errno.ENOTDIR)


def test_a_full_disk_is_found_behind_the_error_of_a_library() -> None:
    error = RuntimeError("the library failed")
    error.__cause__ = error_of(errno.ENOSPC, "models/x")
    assert str(uncaught_failure(error)).startswith("models/x: could not write the file: No space")
    text = RuntimeError("io error: No space left on device (os error 28)\nmore lines")
    assert str(uncaught_failure(text)).startswith("io error: No space left on device (os error 28)")


def test_a_message_that_has_the_remedy_already_is_not_given_it_again() -> None:
    explained = write_failure("a/b", error_of(errno.ENOSPC))
    assert uncaught_failure(RuntimeError(f"{explained}\nmore")) == explained


@pytest.mark.parametrize("full", ["work", "temporary"])
def test_the_full_disk_is_named_where_the_error_names_no_file(
    full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    free = {str(path): 1000 if path.name == full else 1 << 30 for path in tmp_path.iterdir()}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[str(path)]))
    message = uncaught_failure(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert str(message).startswith(f"{tmp_path / full}: could not write the file: No space left")
    text = uncaught_failure(RuntimeError("database or disk is full"))
    assert str(text).startswith(
        f"database or disk is full (the disk of {tmp_path / full}); free some space"
    )
    assert "a temporary or output file" in str(uncaught_failure(OSError(errno.EIO, "x")))


def test_a_full_database_is_found(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "full.db") as database:
        database.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.execute("CREATE TABLE t (x)")
    assert "database or disk is full; free some space" in str(uncaught_failure(caught.value))


@pytest.mark.parametrize(
    "error", [ValueError("x"), error_of(errno.ENOENT), OSError("no number"), RecursionError()]
)
def test_other_errors_are_not_explained(error: Exception) -> None:
    assert uncaught_failure(error) is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory: end other programs, or raise the limit of this process"),
        (error_of(errno.ENOMEM, None), "out of memory: "),
        (error_of(errno.EMFILE, "a.png"), "too many open files: raise the limit (ulimit -n)"),
        (RuntimeError("can't start new thread"), "no thread can be started: raise the limit"),
    ],
)
def test_a_limit_of_the_process_is_named(error: Exception, message: str) -> None:
    assert str(uncaught_failure(error)).startswith(message)


def test_a_path_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path, expected in (
        (tmp_path / ("x" * 300), "File name too long; choose a shorter path"),
        (tmp_path / "loop", "Too many levels of symbolic links; correct the link"),
    ):
        with pytest.raises(OSError, match=re.escape(path.name)) as caught:
            path.stat()
        message = uncaught_failure(caught.value)
        assert message == f"{path}: {expected}, then run the same command"


@pytest.mark.parametrize(
    ("exists", "mode", "remedy"),
    [
        (True, os.R_OK, "give yourself the permission to read it"),
        (True, os.W_OK, "give yourself the permission to write there"),
        (False, os.W_OK, "give yourself the permission to write there"),
    ],
)
def test_a_file_without_the_permission_is_named_with_the_one_that_is_missing(
    exists: bool, mode: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.lock"
    if exists:
        path.touch()
    # The tests may run as root, who has every permission.
    monkeypatch.setattr(os, "access", lambda _, wanted: not wanted & mode)
    error = PermissionError(errno.EACCES, "Permission denied", str(path))
    expected = f"{path}: Permission denied; {remedy}, then run the same command"
    assert uncaught_failure(error) == expected
