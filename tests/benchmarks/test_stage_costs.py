from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.stage_costs import command_cost

if TYPE_CHECKING:
    from pathlib import Path

_CHILD = "import time; kept = b'x' * 200_000_000; time.sleep(1.5)"
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}])"


@pytest.mark.slow
def test_memory_of_a_process_that_the_command_starts_is_counted(tmp_path: Path) -> None:
    cost = command_cost([sys.executable, "-c", _PARENT], tmp_path)
    assert cost.peak < 100e6
    assert 200e6 < cost.together < 300e6
    assert cost.seconds > 1.5


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="failed: 3"):
        command_cost([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)
