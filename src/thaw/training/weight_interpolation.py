"""Interpolate between the weights of two networks that have the same start, and choose the share.

Fine-tuned weights and those that they started from are often connected by a line on which the loss
is low; a point between them can be better than both ends, at no cost in prediction.

Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.training.calibration import SIGNIFICANCE, is_lower

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

SHARES = (0.25, 0.5, 0.75)  # of the fine-tuned weights
FEWEST_IMAGES = 30  # of a paired t-test


@dataclass(frozen=True)
class Interpolation:
    """The chosen share of the fine-tuned weights (1 keeps them), and the mean losses by share.

    ``reason`` says why no interpolation was taken.
    """

    share: float
    log_loss: dict[float, float]
    reason: str = ""


def interpolated(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return ``(1 - share) * start + share * end`` of every tensor of floating-point numbers.

    Other tensors are those of ``end``.
    """
    return {
        name: torch.lerp(start[name].to(value.device), value, share)
        if value.is_floating_point()
        else value.clone()
        for name, value in end.items()
    }


def differs(start: Mapping[str, Tensor], end: Mapping[str, Tensor], names: Iterable[str]) -> bool:
    """Return whether a tensor of floating-point numbers among ``names`` differs."""
    return any(
        not torch.equal(start[name].to(end[name].device), end[name])
        for name in names
        if name in end and end[name].is_floating_point()
    )


def choose(losses: Mapping[float, Floats]) -> Interpolation:
    """Return the interpolation for the losses (N,) of the same validation images at each share.

    ``losses`` has the share 1, the fine-tuned weights. Another share is taken if a paired t-test
    says that its loss is lower, at the level 0.05 over the number of shares (Bonferroni).
    """
    means = {share: float(values.mean()) for share, values in losses.items()}
    others = [share for share in losses if share != 1.0]
    if len(losses[1.0]) < FEWEST_IMAGES:
        return Interpolation(1.0, means, f"fewer than {FEWEST_IMAGES} validation images")
    best = min(others, key=lambda share: means[share])
    if is_lower(losses[best], losses[1.0], SIGNIFICANCE / len(others)):
        return Interpolation(best, means)
    return Interpolation(1.0, means, "no share has a lower validation loss in the paired test")
