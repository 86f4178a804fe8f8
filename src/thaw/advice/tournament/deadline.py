"""A time limit for a comparison: no further candidate is compared after it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """A time after which no further candidate is compared; never without ``minutes``.

    A choice that a deadline has shortened depends on the speed of the machine, so that it is not
    stored for the stages.
    """

    def __init__(
        self, minutes: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._end = None if minutes is None else clock() + 60 * minutes
        self.has_shortened = False

    def is_over(self) -> bool:
        """Return whether the time is over; the caller then leaves candidates out."""
        if self._end is not None and self._clock() >= self._end:
            self.has_shortened = True
        return self.has_shortened
