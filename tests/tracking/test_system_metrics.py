from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from thaw.tracking.system_metrics import measuring

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_the_machine_is_measured_until_the_end() -> None:
    measured: list[Mapping[str, float]] = []
    with measuring(0.05, measured.append):
        time.sleep(0.4)
    count = len(measured)
    assert count >= 2
    assert 0 <= measured[0]["cpu_utilization_percentage"] <= 100
    time.sleep(0.2)
    assert len(measured) == count


def test_a_long_interval_does_not_delay_the_end() -> None:
    started = time.monotonic()
    with measuring(600, lambda _: None):
        pass
    assert time.monotonic() - started < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "system metrics"]
