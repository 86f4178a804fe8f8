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
        return self.final.topmost(self._thawed(done)) if self.epochs else self.final

    def last_thaw(self, done: int) -> int:
        """Return the number of epochs after which the last block thawed, as of ``done`` epochs."""
        return max(0, self._thawed(done) - 1) * self.epochs

    def shortfall(self, epochs: int) -> str:
        """Return a warning if some blocks stay frozen in a training of ``epochs``; else ""."""
        blocks, thawed = len(self.final.trainable), self._thawed(epochs - 1)
        if thawed >= blocks or epochs == 0:
            return ""
        return (
            f"only {thawed} of the {blocks} blocks thaw in {epochs} epochs: with gradual_epochs "
            f"{self.epochs}, the last one thaws after {(blocks - 1) * self.epochs}"
        )

    def _thawed(self, done: int) -> int:
        blocks = len(self.final.trainable)
        return min(blocks, 1 + done // self.epochs) if self.epochs else blocks
