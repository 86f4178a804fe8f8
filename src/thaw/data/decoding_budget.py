"""The memory of all images that a process decodes at once, and its return to the kernel."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import threading
from dataclasses import dataclass
from typing import Any

from thaw.system.memory import return_free_memory
from thaw.system.processes import cores

_AT_ONCE = 250e6  # bytes of all images together
_PER_CORE = 100e6  # bytes per core, on machines with many cores
_RETURNED = 64e6  # bytes of one image from which on its memory is given back


@dataclass(frozen=True)
class BudgetState:
    """The bytes in use and their locks, for the threads of a process or for several processes."""

    turn: Any
    changed: Any
    used: Any


def state_of_threads() -> BudgetState:
    """Return a state for the threads of one process."""
    return BudgetState(threading.Lock(), threading.Condition(), ctypes.c_int64(0))


def state_of_processes() -> BudgetState:
    """Return a state for processes that are forked afterwards."""
    fork = multiprocessing.get_context("fork")
    return BudgetState(fork.Lock(), fork.Condition(), fork.RawValue("q", 0))


class DecodingBudget:
    """Bytes that images may take together; they are admitted in the order in which they ask.

    An image that needs more than ``most`` bytes is decoded alone. Bytes are whole numbers: sums and
    differences of fractions do not return to zero, and such an image would wait for ever.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._reset()
        if hasattr(os, "register_at_fork"):  # other threads of the parent do not exist in a child
            os.register_at_fork(after_in_child=self._reset)

    def take(self, needed: int) -> None:
        """Wait until ``needed`` bytes are available, and take them."""
        state = self._state
        with state.turn, state.changed:
            state.changed.wait_for(
                lambda: not state.used.value or state.used.value + needed <= self._most
            )
            state.used.value += needed

    def give_back(self, taken: int) -> None:
        """Make ``taken`` bytes available again after :meth:`take`."""
        with self._state.changed:
            self._state.used.value -= taken
            self._state.changed.notify_all()

    def share(self, state: BudgetState) -> None:
        """Count in ``state``, that of several processes. Call it while no image is decoded."""
        self._state = state

    def _reset(self) -> None:
        self._state = state_of_threads()


_BUDGET = DecodingBudget(max(_AT_ONCE, _PER_CORE * cores()))


def share_budget(state: BudgetState) -> None:
    """Count the images of this process in ``state``, together with those of other processes."""
    _BUDGET.share(state)


class MemoryShare:
    """The bytes that one image takes from ``budget``, by default that of the process."""

    def __init__(self, budget: DecodingBudget = _BUDGET) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, needed: float) -> None:
        """Wait until ``needed`` bytes are available; nothing happens if some are taken already."""
        if not self._taken and needed > 0:
            taken = math.ceil(needed)
            self._budget.take(taken)
            self._taken = taken

    def release(self) -> None:
        """Return what was taken. Call it when the image is deleted."""
        if not self._taken:
            return
        if self._taken >= _RETURNED:
            return_free_memory()
        self._budget.give_back(self._taken)
        self._taken = 0
