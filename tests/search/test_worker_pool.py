from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import settings
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
