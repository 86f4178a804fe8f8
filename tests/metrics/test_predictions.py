from __future__ import annotations

import numpy as np
import pytest

from thaw.metrics.predictions import Predictions

PREDICTIONS = Predictions(
    probabilities=np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.55, 0.45, 0.0]]),
    targets=np.array([0, 0, 1]),
    bins=10,
)


def test_the_predicted_class_is_the_most_probable_one() -> None:
    assert PREDICTIONS.predicted.tolist() == [0, 1, 0]
    assert PREDICTIONS.confidences.tolist() == [0.9, 0.8, 0.55]
    assert PREDICTIONS.is_correct.tolist() == [True, False, False]


def test_a_confidence_on_an_edge_is_in_the_lower_bin() -> None:
    assert PREDICTIONS.confidence_bins.tolist() == [8, 7, 5]


def test_only_classes_with_images_are_present() -> None:
    assert PREDICTIONS.present.tolist() == [0, 1]
    assert PREDICTIONS.support.tolist() == [2, 1]


def test_per_class_covers_also_classes_without_images() -> None:
    precision, recall, f1, support = PREDICTIONS.per_class
    assert precision == pytest.approx([0.5, 0.0, 0.0])
    assert recall == pytest.approx([0.5, 0.0, 0.0])
    assert f1 == pytest.approx([0.5, 0.0, 0.0])
    assert support.tolist() == [2, 1, 0]
