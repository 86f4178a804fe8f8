from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.system.process_map import can_fork, map_in_processes, raise_if_stopped
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_fork(), reason="the system cannot fork")

mapped = partial(map_in_processes, pending_per_core=2, purpose="counts")

ENDLESS = """
import time
from thaw.system.process_map import map_in_processes
def wait(number):
    import os
    print(os.getpid(), flush=True)
    time.sleep(600)
for _ in map_in_processes(wait, range(4), pending_per_core=1, purpose="waits"):
    pass
"""


def _slow_at_first(number: int) -> tuple[int, int]:
    time.sleep(0.1 if number == 0 else 0)
    return number * 10, os.getpid()


def _killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _failing(number: int) -> int:
    if number == 1:
        raise ValueError("no such number")
    return number


def _until_stopped(number: int) -> int:
    for _ in range(6000 if number else 1):
        raise_if_stopped()
        time.sleep(0.01)
    return number


def test_results_come_in_the_order_of_the_items_from_other_processes() -> None:
    results = list(mapped(_slow_at_first, range(30)))
    assert [value for value, _ in results] == [number * 10 for number in range(30)]
    assert os.getpid() not in {process for _, process in results}


def test_items_are_taken_only_as_far_as_the_limit_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = iter(mapped(_failing, (number + 2 for number in items())))
    next(results)
    assert len(taken) == 2 * cores() + 1
    assert len(list(results)) == 99


def test_an_error_is_raised_at_the_place_of_its_item() -> None:
    results = mapped(_failing, range(3))
    assert next(results) == 0
    with pytest.raises(ValueError, match="no such number"):
        next(results)


def test_a_killed_process_ends_the_map_with_a_message() -> None:
    with pytest.raises(ThawError, match="a process that counts was killed"):
        list(mapped(_killed, range(10)))


def test_running_items_end_early_when_the_consumer_stops() -> None:
    start = time.monotonic()
    results = mapped(_until_stopped, range(5))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with their parent")
def test_the_processes_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _runs(child):
        time.sleep(0.05)
    assert not _runs(child)


def _runs(process: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        with open(f"/proc/{process}/stat") as stream:  # noqa: PTH123
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
