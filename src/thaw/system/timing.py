"""Measure how long a call takes."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def median_milliseconds(call: Callable[[], object], rounds: int, warm_up: int) -> float:
    """Return the median time of ``call`` in milliseconds, over ``rounds`` calls.

    The ``warm_up`` calls before them do not count, because they allocate memory.
    """
    seconds = []
    for _ in range(warm_up + rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[warm_up:]) * 1000
