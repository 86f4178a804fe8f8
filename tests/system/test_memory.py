from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from thaw.system import memory

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_limit_of_a_container_counts_where_it_is_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "absent", limit))
    limit.write_text("max\n")
    assert memory.total_memory() == psutil.virtual_memory().total
    limit.write_text("1000000\n")
    assert memory.total_memory() == 1_000_000
