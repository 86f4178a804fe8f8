from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from thaw.system import memory
from thaw.system.launching import ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_limit_of_a_container_counts_where_it_is_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "absent", limit))
    limit.write_text("max\n")
    assert memory.total_memory() == psutil.virtual_memory().total
    limit.write_text("1000000\n")
    assert memory.total_memory() == 1_000_000


SCRIPT = """
import re
from pathlib import Path
from thaw.system.memory import return_free_memory

def resident():
    return int(re.search(r"VmRSS:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

blocks = [bytes([1]) * 100_000 for _ in range(500)]
last = bytes([1]) * 100_000  # what is below cannot be cut off the end of the heap
del blocks
kept = resident()
return_free_memory()
print(kept - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries manage memory")
def test_memory_that_the_launcher_lets_glibc_keep_is_returned() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert int(done.stdout) > 40_000, "of 50,000 kB"
