from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.search.worker_pool import WorkerPool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("visible", "devices", "processes", "expected"),
    [
        (None, 2, 1, ["0", "1", "0"]),
        ("", 2, 1, ["0", "1", "0"]),
        ("2,3", 2, 1, ["2", "3", "2"]),
        ("GPU-a,GPU-b,GPU-c,GPU-d", 4, 2, ["GPU-a,GPU-b", "GPU-c,GPU-d", "GPU-a,GPU-b"]),
    ],
)
def test_workers_share_the_devices_that_the_user_made_visible(
    visible: str | None,
    devices: int,
    processes: int,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    launch = settings.PARAMS.launch.model_copy(update={"processes": processes})
    pool = WorkerPool(3, launch, tmp_path, [], devices)
    assert [pool._visible_devices(number) for number in range(3)] == expected
