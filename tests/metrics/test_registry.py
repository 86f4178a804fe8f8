from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from tests.metrics.examples import constant, random_predictions
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import COSTS, METRICS


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_values_agree_with_scikit_learn(classes: int) -> None:
    predictions = random_predictions(300, classes)
    targets, predicted = predictions.targets, predictions.predicted
    value = {name: metric.value(predictions) for name, metric in METRICS.items()}
    assert value["accuracy"] == accuracy_score(targets, predicted)
    assert value["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert value["log_loss"] == pytest.approx(log_loss(targets, predictions.probabilities))
    recalls = recall_score(targets, predicted, average=None)
    assert value["worst_class_recall"] == pytest.approx(min(recalls))


@pytest.mark.parametrize("name", METRICS)
def test_the_per_image_form_of_a_metric_has_the_same_value(name: str) -> None:
    predictions = random_predictions(300, classes=5)
    form = METRICS[name].per_image(predictions)
    (value,) = form.from_sums(form.rows.sum(axis=0, keepdims=True))
    assert value == pytest.approx(METRICS[name].value(predictions), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_the_per_image_form_takes_several_resamples(name: str) -> None:
    predictions = random_predictions(60, classes=3)
    form = METRICS[name].per_image(predictions)
    weights = np.ones((4, 60))
    assert form.from_sums(weights @ form.rows).shape == (4,)


@pytest.mark.parametrize("name", METRICS)
def test_the_direction_is_that_of_better_predictions(name: str) -> None:
    better, worse = constant(0.9, correct=9, wrong=1), constant(0.9, correct=2, wrong=8)
    gain = METRICS[name].value(better) - METRICS[name].value(worse)
    if name == "worst_class_recall":  # class 1 is never predicted in both
        assert gain == 0
    else:
        assert (gain > 0) == METRICS[name].higher_is_better


def test_a_calibrated_predictor_has_no_calibration_error() -> None:
    seven, four_fifths = constant(0.7, correct=7, wrong=3), constant(0.8, correct=4, wrong=1)
    both = Predictions(
        np.concatenate([seven.probabilities, four_fifths.probabilities]),
        np.concatenate([seven.targets, four_fifths.targets]),
        bins=15,
    )
    assert METRICS["ece"].value(both) == pytest.approx(0.0, abs=1e-12)


def test_the_calibration_error_of_an_overconfident_predictor_is_the_gap() -> None:
    assert METRICS["ece"].value(constant(1.0, correct=5, wrong=5)) == pytest.approx(0.5)


def test_the_calibration_error_weights_a_bin_by_its_images() -> None:
    # 3 images with a gap of 1.0 - 0.0, 1 image with a gap of 1.0 - 0.6
    wrong, right = constant(1.0, correct=0, wrong=3), constant(0.6, correct=1, wrong=0)
    both = Predictions(
        np.concatenate([wrong.probabilities, right.probabilities]),
        np.concatenate([wrong.targets, right.targets]),
        bins=5,
    )
    assert METRICS["ece"].value(both) == pytest.approx((3 * 1.0 + 1 * 0.4) / 4)


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].interval])
@pytest.mark.parametrize("classes", [2, 5, 40])
def test_an_interval_of_its_own_holds_the_value(name: str, classes: int) -> None:
    metric, predictions = METRICS[name], random_predictions(300, classes)
    assert metric.interval is not None
    low, high = metric.interval(predictions)
    assert 0 <= low <= metric.value(predictions) <= high <= 1


def test_the_interval_of_the_worst_recall_holds_that_of_new_images() -> None:
    generator, targets = np.random.default_rng(0), np.arange(1000) % 10
    interval = METRICS["worst_class_recall"].interval
    assert interval is not None
    held = 0
    for _ in range(100):  # a bootstrap holds 0.9 in 5 of 100
        answers = np.where(generator.random(1000) < 0.9, targets, (targets + 1) % 10)
        low, high = interval(Predictions(np.eye(10)[answers], targets, bins=15))
        held += low <= 0.9 <= high
    assert held >= 95


def test_names_of_metrics_and_costs_are_unique() -> None:
    assert all(name == quantity.name for name, quantity in {**METRICS, **COSTS}.items())
    assert not METRICS.keys() & COSTS.keys()


NEW_METRIC = """
import io, json
import numpy as np
from thaw.metrics import registry
from thaw.metrics.registry import Metric, PerImage

def gap(predictions):
    return float((1 - predictions.confidences).mean())

def gap_per_image(predictions):
    rows = (1 - predictions.confidences)[:, None]
    return PerImage(rows, lambda sums: sums[:, 0] / len(rows))

registry.METRICS["gap"] = Metric(
    "gap", "mean gap", higher_is_better=False, value=gap, per_image=gap_per_image,
    uses_probabilities=True, is_brief=True,
)

from datetime import UTC, datetime
from rich.console import Console
from optuna.study import StudyDirection
from tests import settings
from tests.promotion.scored_versions import CHAMPION, SPREAD, judged, rules, scored
from thaw.config.search_sections import Search
from thaw.promotion import gate_report
from thaw.cli.alias_tables import status_table
from thaw.search.study_definition import StudyDefinition

challenger = scored(SPREAD, sure=0.95)
assert abs(challenger.metrics["gap"] - 0.05) < 1e-9  # evaluate writes this summary
found = judged(rules(floors={"gap": 0.01}, ceilings={"gap": 0.2}, better="gap",
                     not_worse={"gap": 0.1}), challenger, CHAMPION)
outcomes = {rule.name: rule.passed for rule in found if "gap" in rule.name}
assert outcomes == {"gap": True, "gap: better": True, "gap: not worse": True}, outcomes
assert "gap" in gate_report.metric_values(challenger, None)
search = Search.model_validate({**settings.PARAMS.search.model_dump(), "objective": "gap"})
params = settings.PARAMS.model_copy(update={"search": search})
definition = StudyDefinition.from_params(params, "data", "")
assert definition.directions[0] == StudyDirection.MINIMIZE
assert definition.metrics[0] == "gap"
out = io.StringIO()
Console(file=out, width=200).print(status_table("m", [], datetime.now(UTC), 200))
assert "mean" in out.getvalue()
"""


@pytest.mark.slow
def test_a_metric_added_to_the_registry_is_known_to_evaluation_gate_search_and_tables() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NEW_METRIC], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
