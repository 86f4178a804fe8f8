"""Gradual unfreezing: the plan as a pure function of the epoch (Howard & Ruder 2018, ULMFiT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.model.freeze_plan import Plan


@dataclass(frozen=True)
class Gradual:
    """A sequence of freeze plans that ends with ``final``.

    At first only the block of ``final`` next to the head trains. After every ``epochs`` epochs one
    more block starts to train; with 0, all of them train from the start.
    """

    final: Plan
    epochs: int

    def plan(self, done: int) -> Plan:
        """Return the plan after ``done`` epochs."""
        return self.final.topmost(self._unfrozen(done)) if self.epochs else self.final

    def last_unfreezing(self, done: int) -> int:
        """Return after how many epochs the newest block was unfrozen, as of ``done`` epochs."""
        return max(0, self._unfrozen(done) - 1) * self.epochs

    def shortfall(self, epochs: int) -> str:
        """Return a warning if some blocks stay frozen in a training of ``epochs``; else ""."""
        blocks, unfrozen = len(self.final.trainable), self._unfrozen(epochs - 1)
        if unfrozen >= blocks or epochs == 0:
            return ""
        return (
            f"only {unfrozen} of the {blocks} blocks train in {epochs} epochs: with gradual_epochs "
            f"{self.epochs}, the last one starts after {(blocks - 1) * self.epochs}"
        )

    def _unfrozen(self, done: int) -> int:
        blocks = len(self.final.trainable)
        return min(blocks, 1 + done // self.epochs) if self.epochs else blocks
