"""Commands on a file system of a few megabytes, which is full (needs the right to mount one)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

_MOUNT = ["unshare", "--map-root-user", "--mount"]
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run([*_MOUNT, "true"], capture_output=True).returncode == 0
)
KILOBYTES = {"init": [0, 16, 100], "prepare": [0, 8, 64], "warmup_head": [0, 16, 300, 700]}
_SAMPLE = {("init", 100), ("prepare", 8), ("warmup_head", 300)}


@pytest.mark.pipelines
@pytest.mark.skipif(not CAN_MOUNT, reason="needs the right to mount a file system")
@pytest.mark.parametrize(
    ("command", "kilobytes"),
    [
        pytest.param(command, size, marks=() if (command, size) in _SAMPLE else pytest.mark.soak)
        for command, sizes in KILOBYTES.items()
        for size in sizes
    ],
)
def test_a_full_disk_is_one_line_and_the_same_command_works_when_it_has_space(
    command: str, kilobytes: int, tmp_path: Path
) -> None:
    script = [sys.executable, "-m", "tests.full_disk", command, str(kilobytes << 10)]
    done = subprocess.run(
        [*_MOUNT, *script],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": f"{ROOT}/src:{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, second, left = done.stdout.splitlines()[-3:]
    assert first.startswith("2 1 error: "), done.stdout
    assert any(reason in first for reason in ("No space left", "disk is full")), first
    assert second.startswith("0 0 "), done.stdout
    assert left == "left: []"
