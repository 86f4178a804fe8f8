from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.errors import EXIT_CODE, ThawError
from thaw.search import outages
from thaw.search.worker_pool import WorkerPool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("devices", "processes", "expected"),
    [
        ((), 1, ["", "", ""]),
        (("0",), 1, ["0", "0", "0"]),
        (("0", "1"), 1, ["0", "1", "0"]),
        (("GPU-a", "GPU-b", "GPU-c", "GPU-d"), 2, ["GPU-a,GPU-b", "GPU-c,GPU-d", "GPU-a,GPU-b"]),
        (("0",), 2, ["0", "0", "0"]),
    ],
)
def test_workers_take_turns_on_the_devices(
    devices: tuple[str, ...], processes: int, expected: list[str], tmp_path: Path
) -> None:
    launch = settings.PARAMS.launch.model_copy(update={"processes": processes})
    pool = WorkerPool(3, launch, tmp_path, [], devices)
    assert [pool._visible_devices(number) for number in range(3)] == expected


def ended_with(code: int, tmp_path: Path, waited: list[str]) -> WorkerPool:
    """Return a pool with one worker that has ended with ``code``; a new one ends at once."""
    pool = WorkerPool(
        1, settings.PARAMS.launch, tmp_path, ["--none"], (), lambda: waited.append("waited")
    )
    process = subprocess.Popen([sys.executable, "-S", "-c", f"raise SystemExit({code})"])
    process.wait()
    pool._processes[0] = process
    return pool


def test_a_worker_whose_database_was_away_is_replaced_when_it_answers(tmp_path: Path) -> None:
    waited: list[str] = []
    pool = ended_with(outages.EXIT_CODE, tmp_path, waited)
    assert pool.is_running()
    assert waited == ["waited"]
    pool._stop()


def test_a_worker_that_failed_ends_the_search_with_its_message(tmp_path: Path) -> None:
    waited: list[str] = []
    (tmp_path / "worker-0.log").write_text("error: the disk is full\n")
    pool = ended_with(EXIT_CODE, tmp_path, waited)
    with pytest.raises(ThawError, match=r"^the disk is full$"):
        pool.is_running()
    assert waited == []
