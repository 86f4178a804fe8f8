from __future__ import annotations

import multiprocessing
import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import kill_at_write
from tests.kill_at_write import Killer

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, killer: Killer) -> None:
    killer.install(with_database=True)
    base = sqlite3.connect(folder / "base.db")
    base.execute("create table written (number integer)")
    base.execute("insert into written values (1)")
    base.commit()
    base.close()
    for number in (2, 3):
        path = folder / f"{number}.part"
        path.touch()
        path.replace(folder / str(number))


@pytest.mark.parametrize(
    ("number", "when", "left"),
    [
        (1, "before", {"base.db"}),
        (2, "before", {"base.db", "2.part"}),
        (2, "after", {"base.db", "2"}),
        (3, "before", {"base.db", "2", "3.part"}),
        (4, "before", {"base.db", "2", "3"}),
    ],
)
def test_the_process_ends_at_the_write(
    number: int, when: str, left: set[str], tmp_path: Path
) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=_write, args=(tmp_path, Killer(number, when, "process"))
    )
    process.start()
    process.join()
    assert process.exitcode == (0 if number == 4 else -signal.SIGKILL)
    assert {path.name for path in tmp_path.iterdir() if "journal" not in path.name} == left


@pytest.mark.parametrize(("argument", "code"), [("prepare", -signal.SIGKILL), ("evaluate", 0)])
def test_only_the_process_of_the_stage_is_killed(argument: str, code: int, tmp_path: Path) -> None:
    shutil.copy(kill_at_write.__file__, tmp_path / "sitecustomize.py")
    program = "import os; open('a', 'w').close(); os.replace('a', 'b')"
    done = subprocess.run(
        [sys.executable, "-c", program, argument],
        env={
            "PYTHONPATH": str(tmp_path),
            kill_at_write.VARIABLE: "prepare 1 before process",
        },
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == code
