"""The memory of all images that a process decodes at once, and its return to the kernel."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING

from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE = 250e6  # bytes of all images together
_PER_CORE = 100e6  # bytes per core, on machines with many cores
_RETURNED = 64e6  # bytes of one image from which on its memory is given back


class DecodingBudget:
    """Bytes that images may take together; they are admitted in the order in which they ask.

    An image that needs more than ``most`` bytes is decoded alone.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._reset()
        if hasattr(os, "register_at_fork"):  # other threads of the parent do not exist in a child
            os.register_at_fork(after_in_child=self._reset)

    def take(self, needed: float) -> None:
        """Wait until ``needed`` bytes are available, and take them."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + needed <= self._most)
            self._used += needed

    def give_back(self, taken: float) -> None:
        """Return ``taken`` bytes, which `take` took."""
        with self._changed:
            self._used -= taken
            self._changed.notify_all()

    def _reset(self) -> None:
        self._used = 0.0
        self._turn = threading.Lock()
        self._changed = threading.Condition()


_BUDGET = DecodingBudget(max(_AT_ONCE, _PER_CORE * cores()))


class MemoryShare:
    """The bytes that one image takes from ``budget``, by default that of the process."""

    def __init__(self, budget: DecodingBudget = _BUDGET) -> None:
        self._budget = budget
        self._taken = 0.0

    def take(self, needed: float) -> None:
        """Wait until ``needed`` bytes are available; nothing happens if some are taken already."""
        if not self._taken and needed > 0:
            self._budget.take(needed)
            self._taken = needed

    def release(self) -> None:
        """Return what was taken. Call it when the image is deleted."""
        if not self._taken:
            return
        # The launcher sets glibc to keep freed memory, which pays for training only.
        if self._taken >= _RETURNED and (trim := _malloc_trim()) is not None:
            trim(0)
        self._budget.give_back(self._taken)
        self._taken = 0.0


def _malloc_trim() -> Callable[[int], object] | None:
    """Return glibc's function that gives free memory back to the kernel; None without glibc."""
    try:
        function: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
    return function
