from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kill_soak import Result, rounds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.soak
@pytest.mark.parametrize("processes", [1, 2])
def test_kills_at_random_times_change_no_result(processes: int, tmp_path: Path) -> None:
    found = rounds(2, processes, seed=1000, folder=tmp_path, seconds=3600)
    assert (found.rounds, found.faults) == (2, [])
    assert sum(found.kills.values()) >= 5


def test_the_table_lists_kills_by_stage_and_each_fault() -> None:
    found = Result(rounds=3, faults=["round 2: model.json differs"])
    found.kills["unfreeze"] += 4
    assert found.table(2).splitlines() == [
        "3 rounds, 2 process(es), 1 faults",
        "                unfreeze    4 kills",
        "round 2: model.json differs",
    ]
