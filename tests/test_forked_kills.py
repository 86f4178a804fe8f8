from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.soak
@pytest.mark.parametrize("processes", ["1", "2"])
def test_kills_of_forked_stages_change_no_result(processes: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.forked_kills", "--rounds", "2", "--processes", processes],
        cwd=ROOT,
        env={**environment(), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"2 rounds, {processes} process(es), 0 faults" in done.stdout, done.stderr
