from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from thaw.system.locks import only_process

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_holder_is_refused_and_told_the_first_ones_pid(tmp_path: Path) -> None:
    lock = tmp_path / "scratch" / "stage.lock"
    with only_process(lock, "the stage unfreeze"):
        script = f"""
import pathlib, sys
from thaw.errors import ThawError
from thaw.system.locks import only_process
try:
    only_process(pathlib.Path({str(lock)!r}), "the stage unfreeze").__enter__()
except ThawError as error:
    sys.exit(str(error))
"""
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f"the stage unfreeze is already running as process {os.getpid()}" in other.stderr


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "stage.lock"
    with pytest.raises(ZeroDivisionError), only_process(lock, "first"):
        raise ZeroDivisionError
    with only_process(lock, "second"):
        assert lock.with_suffix(".pid").read_text() == str(os.getpid())


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "stage.lock"
    script = f"""
import os, pathlib, signal
from thaw.system.locks import only_process
with only_process(pathlib.Path({str(lock)!r}), "first"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert lock.with_suffix(".pid").read_text() != ""
    with only_process(lock, "second"):
        assert lock.with_suffix(".pid").read_text() == str(os.getpid())
