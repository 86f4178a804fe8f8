"""Logits whose softmax are the true probabilities, and targets drawn from those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


def drawn(images: int, classes: int = 5, spread: float = 2.0, seed: int = 0) -> tuple[Floats, Ints]:
    """Return logits whose softmax are the true probabilities, and targets drawn from those."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0.0, spread, (images, classes))
    shares = softmax(logits, axis=1).cumsum(axis=1)
    targets = (generator.random((images, 1)) > shares).sum(axis=1)
    return logits, np.minimum(targets, classes - 1)


def log_loss(logits: Floats, targets: Ints) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean())


def wrong_classes(images: int) -> tuple[Floats, Ints]:
    """Return logits of which some classes are too high and others too steep."""
    logits, targets = drawn(images)
    wrong = logits * [3.0, 1.0, 1.0, 0.4, 1.0] + [0.0, 2.0, -2.0, 0.0, 0.0]
    return wrong, targets
