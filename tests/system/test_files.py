from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import tiny
from tests.tmpfs import with_tmpfs
from thaw.errors import ThawError
from thaw.system.files import sha256_of, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_written_with_its_folders_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "file.bin", b"content")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file.bin"]
    assert (tmp_path / "a" / "b" / "file.bin").read_bytes() == b"content"


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"a longer old content")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_names_path_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with tiny.full_disk(), pytest.raises(ThawError, match=r"could not write 5,000 bytes"):
        write_whole(path, bytes(5000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_a_folder_should_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(ThawError, match=r"models.*could not write 3 bytes"):
        write_whole(tmp_path / "models" / "file.bin", b"new")


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    script = f"""
import os, signal, pathlib
from thaw.system.files import write_whole
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_whole(pathlib.Path({str(path)!r}), b"new")
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    "action",
    [
        "write_whole(path, b'new')",
        "only_process(path, 'the stage').__enter__()",
    ],
)
def test_a_read_only_disk_is_a_clear_error(tmp_path: Path, action: str) -> None:
    script = f"""
import pathlib
from thaw.errors import ThawError
from thaw.system.files import write_whole
from thaw.system.locks import only_process
path = pathlib.Path({str(tmp_path)!r}) / "file.bin"
try:
    {action}
except ThawError as error:
    print(error)
"""
    command = [*with_tmpfs(tmp_path, "ro"), sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in result.stderr
    assert str(tmp_path / "file.bin") in result.stdout
    assert "Read-only file system" in result.stdout


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file").startswith("ba7816bf8f01cfea414140de5dae2223")
