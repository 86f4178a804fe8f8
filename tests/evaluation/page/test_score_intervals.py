from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from thaw.evaluation.page import score_intervals
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS


def predictions(images: int, right: float) -> Predictions:
    generator = np.random.default_rng(0)
    targets = np.arange(images) % 4
    answers = np.where(generator.random(images) < right, targets, (targets + 1) % 4)
    probabilities = np.full((images, 4), 0.1)
    probabilities[np.arange(images), answers] = 0.7
    return Predictions(probabilities, targets, 15)


def test_intervals_hold_the_value_and_shrink_with_the_number_of_images() -> None:
    few, many = predictions(80, 0.8), predictions(8000, 0.8)
    of_few, of_many = score_intervals.bootstrap(few), score_intervals.bootstrap(many)
    for name, metric in METRICS.items():
        if name == "worst_class_recall":  # the smallest of several is biased
            continue
        low, high = of_many[name]
        assert low <= metric.value(many) <= high
        assert high - low < (of_few[name][1] - of_few[name][0]) / 5


def test_the_interval_of_the_accuracy_agrees_with_the_normal_distribution() -> None:
    found = predictions(4000, 0.9)
    low, high = score_intervals.bootstrap(found)["accuracy"]
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.9 * 0.1 / 4000), rel=0.15)


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert score_intervals.bootstrap(predictions(50, 0.5)) == score_intervals.bootstrap(
        predictions(50, 0.5)
    )


def test_a_metric_of_very_many_numbers_has_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_intervals, "_MOST_NUMBERS", 60)
    assert set(score_intervals.bootstrap(predictions(50, 0.5))) == {"accuracy", "log_loss"}


def test_scores_without_a_mistake_have_no_interval_of_zero_width() -> None:
    assert set(score_intervals.bootstrap(predictions(60, 1.1))) <= {"log_loss", "ece"}


@pytest.mark.parametrize(("wins", "losses"), [(4, 0), (9, 2), (3, 3)])
def test_p_values_of_the_accuracy_are_those_of_the_exact_test(wins: int, losses: int) -> None:
    targets = np.arange(200) % 2
    right = np.ones((2, 200), dtype=bool)
    right[0, :wins] = right[1, wins : wins + losses] = False
    first, second = (
        Predictions(np.eye(2)[np.where(each, targets, 1 - targets)], targets, 15) for each in right
    )
    found = score_intervals.swap_p_values(first, second, seed=0)
    expected = binomtest(wins, wins + losses).pvalue
    assert found["accuracy"] == pytest.approx(expected, abs=0.04)
    assert found == score_intervals.swap_p_values(first, second, seed=0)
