"""Gradual unfreezing: the plan as a pure function of the epoch (Howard & Ruder 2018, ULMFiT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.model.freeze_plan import Plan


@dataclass(frozen=True)
class Gradual:
    """Of the blocks of ``final``, the one next to the head trains first; then one more each time.

    A block thaws after every ``epochs`` epochs; 0 thaws all of them at the start.
    """

    final: Plan
    epochs: int

    def plan(self, done: int) -> Plan:
        """What trains once ``done`` epochs are over."""
        return self.final.topmost(self._thawed(done)) if self.epochs else self.final

    def last_thaw(self, done: int) -> int:
        """After how many epochs the newest of the blocks thawed that train after ``done``."""
        return max(0, self._thawed(done) - 1) * self.epochs

    def shortfall(self, epochs: int) -> str:
        """A line on the blocks that a training of ``epochs`` leaves frozen; empty if none."""
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
