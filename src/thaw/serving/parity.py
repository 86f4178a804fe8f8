"""Whether an exported model computes what the registered one does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.errors import ThawError
from thaw.training.precision import strict_float32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

TOLERANCE = 1e-4  # of a probability


@dataclass(frozen=True)
class Proof:
    """How far a probability moved at most over so many images, and how many labels changed."""

    images: int
    largest_move: float
    changed: int

    @property
    def holds(self) -> bool:
        """Whether the two are the same model."""
        return self.images > 0 and self.changed == 0 and self.largest_move <= TOLERANCE

    def check(self, otherwise: str) -> None:
        """Whether it holds.

        Raises:
            ThawError: it does not; ``otherwise`` says what follows.
        """
        if not self.holds:
            raise ThawError(
                f"the exported model is another one: over {self.images} images a probability "
                f"moved by up to {self.largest_move:.2g} (allowed: {TOLERANCE:g}), and "
                f"{self.changed} labels changed; {otherwise}"
            )


@strict_float32()
def prove(
    model: Callable[[Tensor], Tensor],
    exported: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
) -> Proof:
    """Compare the probabilities (N, classes) of the two on batches of uint8 (N, 3, S, S).

    Both compute in float32: neither in TF32 nor under autocast.
    """
    count, largest, changed = 0, 0.0, 0
    for images in batches:
        expected, computed = model(images), exported(images)
        moved = (computed - expected).abs().nan_to_num(nan=torch.inf)
        count += len(images)
        largest = max(largest, float(moved.max()))
        changed += int((computed.argmax(1) != expected.argmax(1)).sum())
    return Proof(count, largest, changed)
