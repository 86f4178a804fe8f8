"""The progress of a training phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.training.history import Row


@dataclass
class Progress:
    """The progress of a phase: a checkpoint holds this and the tensors."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    history: list[Row] = field(default_factory=list)

    @property
    def best_loss(self) -> float:
        """The validation loss of the best epoch so far."""
        return self.history[self.best_epoch].val_loss
