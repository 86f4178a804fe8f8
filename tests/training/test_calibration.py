from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.special import softmax

from tests.training.drawn_logits import drawn, log_loss, wrong_classes
from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS
from thaw.model.calibration import CalibratedSoftmax
from thaw.training.calibration import (
    FEWEST_IMAGES,
    FEWEST_OF_A_CLASS,
    calibrated_losses,
    cross_fitted,
    fit_calibration,
    is_lower,
    kept_losses,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.config.regularize_section import CalibrationSetting
    from thaw.training.calibration import CalibrationFit

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


def applied(fit: CalibrationFit, logits: Floats) -> Floats:
    found: Floats = CalibratedSoftmax(fit.calibration)(torch.from_numpy(logits)).numpy()
    return found


def test_an_overconfident_model_is_calibrated_on_other_images() -> None:
    logits, targets = drawn(800)
    fit = fit_calibration(logits * 2.5, targets)
    others, truth = drawn(4000, seed=1)
    before = Predictions(softmax(others * 2.5, axis=1), truth, 15)
    after = Predictions(applied(fit, others * 2.5), truth, 15)
    ece, loss = METRICS["ece"].value, METRICS["log_loss"].value
    assert ece(before) > 0.1
    assert ece(after) < 0.03
    assert loss(after) < loss(before) - 0.1
    assert np.array_equal(after.predicted, before.predicted)


def test_a_calibrated_model_of_few_images_keeps_temperature_1_or_nearly() -> None:
    found = [fit_calibration(*drawn(12, seed=seed)).calibration.scale[0] for seed in range(40)]
    assert np.mean([scale == 1.0 for scale in found]) > 0.3
    assert max(abs(np.log(found))) < np.log(1.6)


def test_the_fit_to_few_images_loses_little_on_other_images() -> None:
    others, truth = drawn(4000, seed=99)
    lost = []
    for seed in range(30):
        fit = fit_calibration(*drawn(15, seed=seed))
        lost.append(log_loss(others * fit.calibration.scale[0], truth) - log_loss(others, truth))
    assert np.mean(lost) < 0.01


def test_images_that_are_all_correct_do_not_make_the_model_certain() -> None:
    logits, _ = drawn(100, spread=2.0)
    fit = fit_calibration(logits, logits.argmax(axis=1))
    confidence = applied(fit, logits).max(axis=1).mean()
    assert 0.9 < confidence < 0.995


def test_fewer_images_than_needed_are_left_uncalibrated() -> None:
    fit = fit_calibration(*drawn(FEWEST_IMAGES - 1), "vector")
    assert (fit.calibration.kind, fit.reason) == ("none", f"fewer than {FEWEST_IMAGES} images")


def test_off_fits_nothing() -> None:
    logits, targets = drawn(500)
    assert fit_calibration(logits * 3.0, targets, "off").calibration.kind == "none"


def test_a_calibrated_model_of_many_images_is_left_nearly_alone() -> None:
    logits, targets = drawn(4000)
    assert fit_calibration(logits, targets).calibration.scale[0] == pytest.approx(1.0, abs=0.05)


def test_equal_logits_are_left_alone() -> None:
    targets = np.arange(60) % 3
    fit = fit_calibration(np.zeros((60, 3)), targets)
    assert fit.calibration.kind == "none"
    assert fit.log_loss["none"] == pytest.approx(np.log(3))


def test_vector_scaling_is_taken_where_it_is_better_in_a_paired_test() -> None:
    logits, targets = wrong_classes(2000)
    fit = fit_calibration(logits, targets)
    assert fit.calibration.kind == "vector"
    scale = np.array(fit.calibration.scale) * [3.0, 1.0, 1.0, 0.4, 1.0]
    np.testing.assert_allclose(scale, 1.0, atol=0.2)
    assert fit.log_loss["vector"] < fit.log_loss["temperature"] < fit.log_loss["none"]


def test_vector_scaling_is_not_taken_where_a_temperature_is_enough() -> None:
    logits, targets = drawn(2000)
    fit = fit_calibration(logits * 2.0, targets)
    assert fit.calibration.kind == "temperature"
    assert "vector scaling does not lower" in fit.reason


def test_vector_scaling_needs_enough_images_of_each_class() -> None:
    logits, targets = wrong_classes(2000)
    few = np.concatenate([np.flatnonzero(targets != 2), np.flatnonzero(targets == 2)[:19]])
    fit = fit_calibration(logits[few], targets[few])
    assert fit.calibration.kind == "temperature"
    assert fit.reason == f"vector scaling needs {FEWEST_OF_A_CLASS} images of each class"


def test_a_class_without_an_image_can_be_calibrated() -> None:
    logits, targets = drawn(300)
    kept = targets != 4
    for setting in ("auto", "temperature", "vector"):
        fit = fit_calibration(logits[kept] * 3.0, targets[kept], setting)
        assert fit.calibration.kind == ("vector" if setting == "vector" else "temperature")


def test_the_fit_does_not_depend_on_more_than_its_input() -> None:
    logits, targets = wrong_classes(400)
    assert fit_calibration(logits, targets) == fit_calibration(logits.copy(), targets.copy())


@pytest.mark.slow
def test_cross_fitted_losses_do_not_reward_a_fit_to_chance() -> None:
    gains = []
    for seed in range(20):
        logits, targets = drawn(60, seed=seed)
        in_sample = applied(fit_calibration(logits, targets, "vector"), logits)
        own = -np.log(in_sample[np.arange(60), targets]).mean()
        gains.append((log_loss(logits, targets) - own, _gain(logits, targets)))
    in_sample_gain, cross_fitted_gain = np.mean(gains, axis=0)
    assert in_sample_gain > 0.02
    assert cross_fitted_gain < 0.0


def _gain(logits: Floats, targets: Ints) -> float:
    found = cross_fitted(logits, targets, "vector")
    assert found.shape == logits.shape
    return log_loss(logits, targets) - log_loss(found, targets)


def test_label_smoothing_is_compared_without_its_effect_on_the_confidence() -> None:
    logits, targets = drawn(600)
    sharp, smooth = logits, logits * 0.3  # the same ranking of classes
    assert log_loss(smooth, targets) > log_loss(sharp, targets) + 0.1
    difference = (
        calibrated_losses(smooth, targets).mean() - calibrated_losses(sharp, targets).mean()
    )
    assert abs(difference) < 0.01


def test_a_better_model_has_the_lower_calibrated_losses_whatever_its_confidence() -> None:
    logits, targets = drawn(600)
    noise = np.random.default_rng(5).normal(0.0, 1.5, logits.shape)
    better, worse = logits * 4.0, logits + noise
    assert (
        calibrated_losses(better, targets).mean() < calibrated_losses(worse, targets).mean() - 0.02
    )
    assert is_lower(calibrated_losses(better, targets), calibrated_losses(worse, targets))


def test_equal_losses_are_not_lower() -> None:
    losses = np.full(50, 0.5)
    assert not is_lower(losses, losses)
    assert not is_lower(losses[:1], losses[:1] + 1.0)


@pytest.mark.parametrize("setting", ["off", "auto", "temperature", "vector"])
@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        drawn(9),
        drawn(40),
        drawn(60, seed=3),
        (drawn(200)[0] * 3.0, drawn(200)[1]),
        wrong_classes(900),
    ],
    ids=["fewer than 10", "few", "few others", "too sure", "wrong classes"],
)
def test_kept_losses_are_those_of_the_kind_that_the_fit_keeps(
    logits: Floats, targets: Ints, setting: CalibrationSetting
) -> None:
    fit = fit_calibration(logits, targets, setting)
    kept = kept_losses(logits, targets, setting)
    assert kept.shape == targets.shape
    assert kept.mean() == fit.log_loss[fit.calibration.kind]


def test_a_model_that_keeps_no_temperature_has_its_own_losses() -> None:
    logits, targets = drawn(12, seed=3)
    without = np.array([log_loss(logits, targets), calibrated_losses(logits, targets).mean()])
    assert without[0] < without[1]
    assert kept_losses(logits, targets, "auto").mean() == pytest.approx(without[0])
    assert kept_losses(logits, targets, "temperature").mean() == pytest.approx(without[1])
