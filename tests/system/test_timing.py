from __future__ import annotations

import time

from thaw.system.timing import median_milliseconds


def test_the_warm_up_and_single_slow_calls_do_not_count() -> None:
    sleeps = iter([0.1, 0.0, 0.1, 0.0])
    assert median_milliseconds(lambda: time.sleep(next(sleeps)), rounds=3, warm_up=1) < 50
    assert next(sleeps, None) is None
