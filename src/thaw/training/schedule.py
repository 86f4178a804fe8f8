"""The learning-rate schedule as a pure function of the step: it has no state to save."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.config.training_sections import ScheduleName


def factor(step: int, total: int, warmup_fraction: float, schedule: ScheduleName) -> float:
    """Return the factor of the base learning rate at ``step`` (0 .. total - 1).

    A linear rise over the first ``warmup_fraction`` of the steps; then 1, or half a cosine down
    to zero (Loshchilov & Hutter 2017, without restarts).
    """
    warmup = math.ceil(total * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))
