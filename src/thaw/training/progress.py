"""The progress of a training phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.training.history import EpochRow


@dataclass
class Progress:
    """The progress of a phase: a checkpoint holds this and the tensors."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    history: list[EpochRow] = field(default_factory=list)

    @property
    def best_loss(self) -> float:
        """The validation loss of the best epoch so far."""
        return self.history[self.best_epoch].val_loss

    def close_epoch(self, row: EpochRow) -> None:
        """Add the results of the epoch that has ended."""
        self.history.append(row)
        self.epoch, self.step, self.loss_sum = row.epoch, 0, 0.0

    def mark(self, *, keeps_start: bool, keeps_last: bool) -> str:
        """Return how the console marks the newest epoch: what would be kept now, and why.

        The arguments are as in ``TrainingSetup``. An epoch that is the best of those that may be
        kept can be worse than the start, which is not one of them.
        """
        if keeps_last or self.best_epoch != self.history[-1].epoch:
            return ""
        if keeps_start:
            return "best"
        if self.best_epoch == 0:
            return "the start, which is not among the epochs to choose from"
        start = self.history[0].val_loss
        if self.best_loss < start:
            return "best"
        return f"best of epochs 1 to {self.best_epoch}; the start has {start:.4f}"
