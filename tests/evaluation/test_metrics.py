from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, recall_score

from thaw.errors import ThawError
from thaw.evaluation.metrics import calibration, expected_calibration_error, score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# Predicted: a, a, b, a. Right: all but the second.
PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
TARGETS = np.array([0, 1, 1, 0])


def sure(confidence: float, right: int, wrong: int) -> tuple[Floats, Ints]:
    """Two classes; every image is said to be of class 0 with ``confidence``."""
    count = right + wrong
    probabilities = np.tile([confidence, 1 - confidence], (count, 1))
    return probabilities, np.array([0] * right + [1] * wrong)


def drawn(images: int, classes: int) -> tuple[Floats, Ints]:
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.full(classes, 0.4), images)
    return probabilities, generator.integers(0, classes, images)


def test_the_summary_is_what_the_hand_computes() -> None:
    summary = score(PROBABILITIES, TARGETS, ["a", "b"], bins=10).summary
    likelihoods = [0.9, 0.4, 0.8, 0.7]
    assert summary["accuracy"] == 0.75
    assert summary["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert summary["log_loss"] == pytest.approx(-sum(map(math.log, likelihoods)) / 4)
    assert summary["worst_class_recall"] == 0.5
    assert summary["ece"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)
    assert summary["images"] == 4.0


def test_the_interval_is_wilsons() -> None:
    summary = score(PROBABILITIES, TARGETS, ["a", "b"], bins=10).summary
    z, share, n = 1.959963984540054, 0.75, 4
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert summary["accuracy_low"] == pytest.approx(centre - half)
    assert summary["accuracy_high"] == pytest.approx(centre + half)


def test_a_row_a_class_in_the_order_of_the_classes() -> None:
    first, second = score(PROBABILITIES, TARGETS, ["b", "a"], bins=10).per_class
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
    confusion = score(PROBABILITIES, TARGETS, ["a", "b"], bins=10).confusion
    assert confusion.tolist() == [[2, 0], [1, 1]]


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_scores_agree_with_scikit_learn(classes: int) -> None:
    probabilities, targets = drawn(300, classes)
    scores = score(probabilities, targets, [str(i) for i in range(classes)], bins=15)
    predicted = probabilities.argmax(axis=1)
    summary = scores.summary
    assert summary["accuracy"] == accuracy_score(targets, predicted)
    assert summary["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert summary["log_loss"] == pytest.approx(log_loss(targets, probabilities))
    recalls = recall_score(targets, predicted, average=None)
    assert summary["worst_class_recall"] == pytest.approx(min(recalls))
    assert (scores.confusion == confusion_matrix(targets, predicted)).all()


def test_the_reliability_curve_agrees_with_scikit_learn() -> None:
    probabilities, targets = drawn(500, 4)
    rows = calibration(probabilities, targets, 15)
    right = probabilities.argmax(axis=1) == targets
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=15)
    assert [row["accuracy"] for row in rows] == pytest.approx(accuracy)
    assert [row["confidence"] for row in rows] == pytest.approx(confidence)
    assert sum(row["images"] for row in rows) == 500


def test_a_perfectly_calibrated_predictor_has_no_calibration_error() -> None:
    seven, four_fifths = sure(0.7, right=7, wrong=3), sure(0.8, right=4, wrong=1)
    probabilities = np.concatenate([seven[0], four_fifths[0]])
    targets = np.concatenate([seven[1], four_fifths[1]])
    error = expected_calibration_error(calibration(probabilities, targets, 15))
    assert error == pytest.approx(0.0, abs=1e-12)


def test_an_overconfident_predictor_errs_by_the_whole_gap() -> None:
    rows = calibration(*sure(1.0, right=5, wrong=5), 15)
    assert expected_calibration_error(rows) == pytest.approx(0.5)


def test_a_bin_weighs_as_many_images_as_it_holds() -> None:
    # 3 images with a gap of 1.0 - 0.0, 1 image with a gap of 1.0 - 0.6
    wrong, right = sure(1.0, right=0, wrong=3), sure(0.6, right=1, wrong=0)
    probabilities = np.concatenate([wrong[0], right[0]])
    rows = calibration(probabilities, np.concatenate([wrong[1], right[1]]), 5)
    assert expected_calibration_error(rows) == pytest.approx((3 * 1.0 + 1 * 0.4) / 4)


def test_full_confidence_falls_into_the_last_bin() -> None:
    (row,) = calibration(*sure(1.0, right=2, wrong=0), 15)
    assert row["low"] == pytest.approx(14 / 15)
    assert row["high"] == 1.0
    assert row["images"] == 2


@pytest.mark.parametrize("bins", [2, 10, 15, 25, 100])
def test_a_confidence_on_an_edge_falls_into_the_bin_below_it(bins: int) -> None:
    for edge in range(math.ceil(bins / 2), bins + 1):
        (row,) = calibration(*sure(edge / bins, right=1, wrong=0), bins)
        assert row["low"] < row["confidence"] <= row["high"], f"edge {edge} of {bins}"


def test_empty_bins_are_left_out() -> None:
    probabilities = np.concatenate([sure(0.55, 1, 0)[0], sure(0.95, 1, 0)[0]])
    rows = calibration(probabilities, np.array([0, 0]), 10)
    assert [row["low"] for row in rows] == pytest.approx([0.5, 0.9])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_probability_that_is_not_finite_is_refused(value: float) -> None:
    probabilities = PROBABILITIES.copy()
    probabilities[2, 1] = value
    with pytest.raises(ThawError, match="not finite"):
        score(probabilities, TARGETS, ["a", "b"], bins=10)


def test_a_target_that_was_ruled_out_still_gives_a_finite_log_loss() -> None:
    summary = score(*sure(1.0, right=1, wrong=1), ["a", "b"], bins=10).summary
    assert all(map(math.isfinite, summary.values()))
    assert summary["log_loss"] > 10


def test_a_class_absent_from_the_split_has_a_row_and_is_not_the_worst() -> None:
    probabilities = np.eye(3)[[0, 1, 1, 0]]
    scores = score(probabilities, np.array([0, 1, 1, 0]), ["a", "b", "absent"], bins=10)
    assert scores.per_class[2]["class"] == "absent"
    assert scores.per_class[2]["support"] == 0
    assert scores.summary["worst_class_recall"] == 1.0
    assert scores.confusion.shape == (3, 3)


def test_a_class_absent_from_the_split_does_not_lower_the_macro_f1() -> None:
    probabilities = np.eye(3)[[0, 1, 1, 0]]
    summary = score(probabilities, np.array([0, 1, 1, 0]), ["a", "b", "absent"], bins=10).summary
    assert summary["macro_f1"] == 1.0


def test_a_class_that_is_never_predicted_has_precision_zero() -> None:
    probabilities, targets = sure(0.8, right=1, wrong=1)
    _, never = score(probabilities, targets, ["a", "never"], bins=10).per_class
    assert (never["precision"], never["recall"], never["support"]) == (0.0, 0.0, 1)
