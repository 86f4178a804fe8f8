"""Prove that an exported model computes the same as the registered model."""

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
class Comparison:
    """The largest difference of a probability, and the number of changed labels, over images."""

    images: int
    largest_difference: float
    changed_labels: int

    @property
    def is_equal(self) -> bool:
        """Return whether the models are equal within the tolerance, over at least one image."""
        return self.images > 0 and self.changed_labels == 0 and self.largest_difference <= TOLERANCE

    def check(self, consequence: str) -> None:
        """Raise if the models differ; the message ends with ``consequence``.

        Raises:
            ThawError: the models differ.
        """
        if not self.is_equal:
            raise ThawError(
                f"the exported model differs from the model: over {self.images} images a "
                f"probability differs by up to {self.largest_difference:.2g} (allowed: "
                f"{TOLERANCE:g}), and {self.changed_labels} labels changed; {consequence}"
            )


@strict_float32()
def compare(
    model: Callable[[Tensor], Tensor],
    exported: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
) -> Comparison:
    """Compare the probabilities (N, classes) of two models on batches of uint8 (N, 3, S, S).

    Both compute in float32, without TF32 and autocast.
    """
    count, largest, changed = 0, 0.0, 0
    for images in batches:
        expected, computed = model(images), exported(images)
        difference = (computed - expected).abs().nan_to_num(nan=torch.inf)
        count += len(images)
        largest = max(largest, float(difference.max()))
        changed += int((computed.argmax(1) != expected.argmax(1)).sum())
    return Comparison(count, largest, changed)
