from __future__ import annotations

import numpy as np
import pytest

from benchmarks.method.scoring import scores


def test_scores_of_four_images() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = scores(probabilities, np.array([0, 0, 1, 1]), "test")
    assert found["test_images"] == 4
    assert found["test_accuracy"] == 0.75
    assert found["test_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.4]).mean())
    assert found["test_ece"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.6) / 4)


def test_right_probabilities_have_about_the_error_of_chance_and_confident_ones_more() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet([0.6, 0.6, 0.6], size=3000)
    targets = np.array([generator.choice(3, p=row) for row in probabilities])
    found = scores(probabilities, targets, "val")
    assert found["val_ece"] < 2 * found["val_ece_chance"] < 0.05
    sharpened = probabilities**3
    assert scores(sharpened, targets, "val")["val_ece"] > 0.1
