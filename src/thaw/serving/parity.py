"""Prove that an exported model computes the same as the registered model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.errors import ThawError
from thaw.model.float32 import strict_float32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

TOLERANCE = 1e-4  # of a probability
# The same where the model reads other pixels than the exported file.
OTHER_PIXELS_TOLERANCE = 0.03


@dataclass(frozen=True)
class Comparison:
    """The result over ``images``: the largest difference of a probability, and changed labels.

    ``ties`` are labels that changed between classes of nearly equal probability: it differs by less
    than ``tolerance``. They are not counted in ``changed_labels``.
    """

    images: int
    largest_difference: float
    changed_labels: int
    tolerance: float = TOLERANCE
    ties: int = 0

    @property
    def is_equal(self) -> bool:
        """Return whether the models are equal within the tolerance, over at least one image."""
        is_near = self.largest_difference <= self.tolerance
        return self.images > 0 and self.changed_labels == 0 and is_near

    def check(self, consequence: str) -> None:
        """Raise if the models differ; the message ends with ``consequence``.

        Raises:
            ThawError: the models differ.
        """
        if not self.is_equal:
            raise ThawError(
                f"the exported model differs from the model: over {self.images} images a "
                f"probability differs by up to {self.largest_difference:.2g} (allowed: "
                f"{self.tolerance:g}), and {self.changed_labels} labels changed; {consequence}"
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
    return _compare(((model(images), exported(images)) for images in batches), 0.0, TOLERANCE)


@strict_float32()
def compare_from_files(
    model: Callable[[Tensor], Tensor],
    graph: Callable[[Tensor], Tensor],
    exported: Callable[[Tensor], Tensor],
    pairs: Iterable[tuple[Tensor, Tensor]],
    *,
    has_same_pixels: bool,
) -> tuple[Comparison, Comparison]:
    """Compare an exported file that resizes images itself with its ``graph``, and with the model.

    Each pair is one image: as the model reads it, uint8 (1, 3, S, S), and in its own size, uint8
    (1, 3, H, W), as graph and file read it. No pair is kept. ``has_same_pixels`` says that the file
    computes the first from the second.
    """
    of_graph, of_model = [], []
    for framed, original in pairs:
        computed = exported(original)
        of_graph.append((graph(original), computed))
        of_model.append((model(framed), computed))
    tolerance = TOLERANCE if has_same_pixels else OTHER_PIXELS_TOLERANCE
    return _compare(of_graph, 0.0, TOLERANCE), _compare(of_model, tolerance, tolerance)


def _compare(
    results: Iterable[tuple[Tensor, Tensor]], least_lead: float, tolerance: float
) -> Comparison:
    """Compare pairs of probabilities (N, classes).

    A changed label is a tie if its probability was less than ``least_lead`` below the highest one.
    """
    count, largest, changed, ties = 0, 0.0, 0, 0
    for expected, computed in results:
        difference = (computed - expected).abs().nan_to_num(nan=torch.inf)
        count += len(expected)
        largest = max(largest, float(difference.max()))
        label = computed.argmax(1, keepdim=True)
        lead = (expected.amax(1, keepdim=True) - expected.gather(1, label)).flatten()
        is_changed = label.flatten() != expected.argmax(1)
        is_tie = is_changed & (lead < least_lead)
        ties += int(is_tie.sum())
        changed += int((is_changed & ~is_tie).sum())
    return Comparison(count, largest, changed, tolerance, ties)
