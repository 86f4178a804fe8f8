from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from tests.metrics.examples import constant, random_predictions
from thaw.errors import ThawError
from thaw.evaluation.scores import Scores, reliability_curve, score
from thaw.metrics.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

# Predicted: a, a, b, a. Correct: all but the second.
PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
TARGETS = np.array([0, 1, 1, 0])


def scored(classes: Sequence[str] = ("a", "b")) -> Scores:
    return score(Predictions(PROBABILITIES, TARGETS, bins=10), classes)


def test_the_summary_has_the_values_computed_by_hand() -> None:
    summary = scored().summary
    likelihoods = [0.9, 0.4, 0.8, 0.7]
    assert summary["accuracy"] == 0.75
    assert summary["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert summary["log_loss"] == pytest.approx(-sum(map(math.log, likelihoods)) / 4)
    assert summary["worst_class_recall"] == 0.5
    assert summary["ece"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)
    assert summary["images"] == 4.0


def test_the_interval_of_the_accuracy_is_wilsons() -> None:
    summary = scored().summary
    z, share, n = 1.959963984540054, 0.75, 4
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert summary["accuracy_low"] == pytest.approx(centre - half)
    assert summary["accuracy_high"] == pytest.approx(centre + half)


def test_per_class_has_one_row_per_class_in_the_order_of_the_classes() -> None:
    first, second = scored(["b", "a"]).per_class
    assert first == {
        "class": "b",
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2,
    }
    assert second == {
        "class": "a",
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }


def test_rows_of_the_confusion_matrix_are_targets() -> None:
    assert scored().confusion.tolist() == [[2, 0], [1, 1]]


def test_the_confusion_matrix_agrees_with_scikit_learn() -> None:
    predictions = random_predictions(300, classes=5)
    scores = score(predictions, list("abcde"))
    assert (scores.confusion == confusion_matrix(predictions.targets, predictions.predicted)).all()


def test_the_reliability_curve_agrees_with_scikit_learn() -> None:
    predictions = random_predictions(500, classes=4)
    rows = reliability_curve(predictions)
    accuracy, confidence = calibration_curve(
        predictions.is_correct, predictions.confidences, n_bins=15
    )
    assert [row["accuracy"] for row in rows] == pytest.approx(accuracy)
    assert [row["confidence"] for row in rows] == pytest.approx(confidence)
    assert sum(row["images"] for row in rows) == 500


def test_full_confidence_is_in_the_last_bin() -> None:
    (row,) = reliability_curve(constant(1.0, correct=2, wrong=0))
    assert row["low"] == pytest.approx(14 / 15)
    assert row["high"] == 1.0
    assert row["images"] == 2


@pytest.mark.parametrize("bins", [2, 15, 100])
def test_a_confidence_on_an_edge_is_in_the_bin_below_the_edge(bins: int) -> None:
    for edge in range(math.ceil(bins / 2), bins + 1):
        (row,) = reliability_curve(constant(edge / bins, correct=1, wrong=0, bins=bins))
        assert row["low"] < row["confidence"] <= row["high"], f"edge {edge} of {bins}"


def test_the_reliability_curve_leaves_out_empty_bins() -> None:
    probabilities = np.array([[0.55, 0.45], [0.95, 0.05]])
    rows = reliability_curve(Predictions(probabilities, np.array([0, 0]), bins=10))
    assert [row["low"] for row in rows] == pytest.approx([0.5, 0.9])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_probability_that_is_not_finite_is_refused(value: float) -> None:
    probabilities = PROBABILITIES.copy()
    probabilities[2, 1] = value
    with pytest.raises(ThawError, match="not finite"):
        score(Predictions(probabilities, TARGETS, bins=10), ["a", "b"])


def test_a_target_with_probability_zero_gives_a_finite_log_loss() -> None:
    summary = score(constant(1.0, correct=1, wrong=1), ["a", "b"]).summary
    assert all(map(math.isfinite, summary.values()))
    assert summary["log_loss"] > 10


def test_a_class_without_images_has_a_row_and_does_not_change_the_summary() -> None:
    predictions = Predictions(np.eye(3)[[0, 1, 1, 0]], np.array([0, 1, 1, 0]), bins=10)
    scores = score(predictions, ["a", "b", "absent"])
    assert scores.per_class[2]["class"] == "absent"
    assert scores.per_class[2]["support"] == 0
    assert scores.summary["worst_class_recall"] == 1.0
    assert scores.summary["macro_f1"] == 1.0
    assert scores.confusion.shape == (3, 3)


def test_a_class_that_is_never_predicted_has_precision_zero() -> None:
    _, never = score(constant(0.8, correct=1, wrong=1), ["a", "never"]).per_class
    assert (never["precision"], never["recall"], never["support"]) == (0.0, 0.0, 1)
