"""Predictions for the tests of metrics."""

from __future__ import annotations

import numpy as np

from thaw.metrics.predictions import Predictions


def constant(confidence: float, correct: int, wrong: int, bins: int = 15) -> Predictions:
    """Return predictions of two classes: class 0 for every image, always with ``confidence``."""
    probabilities = np.tile([confidence, 1 - confidence], (correct + wrong, 1))
    return Predictions(probabilities, np.array([0] * correct + [1] * wrong), bins)


def random_predictions(images: int, classes: int, bins: int = 15) -> Predictions:
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.full(classes, 0.4), images)
    return Predictions(probabilities, generator.integers(0, classes, images), bins)
