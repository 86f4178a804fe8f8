"""The training loss of an epoch, which stays on the device until it is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from thaw.training.optimizer_step import NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor

READ_EVERY = 100  # steps after which the loss is read from the device


class EpochLoss:
    """The sum of the losses of an epoch in nats, added up on ``device`` in float64.

    Reading it waits for the device.
    """

    def __init__(self, start: float = 0.0, device: torch.device | None = None) -> None:
        """Continue from the sum ``start``."""
        self._sum = torch.tensor(start, dtype=torch.float64, device=device)

    def add(self, loss: Tensor) -> None:
        """Add the sum of the losses of a batch, a float64 scalar on the device."""
        self._sum += loss

    def read(self, epoch: int) -> float:
        """Return the sum so far.

        Raises:
            NotFiniteError: it is not finite.
        """
        total = float(self._sum)
        if not math.isfinite(total):
            raise NotFiniteError(
                f"the training loss is {total} in epoch {epoch}: try a lower lr or a longer "
                "warmup_fraction"
            )
        return total
