from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from tests.training.drawn_logits import drawn, log_loss, wrong_classes
from thaw.model.calibration import CalibratedSoftmax
from thaw.training.logit_scaling import fit_scaling, uncalibrated_losses

if TYPE_CHECKING:
    from thaw.literals import CalibrationMap


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_a_wrong_temperature_is_found(temperature: float) -> None:
    logits, targets = drawn(4000)
    found = fit_scaling(logits * temperature, targets, "temperature")
    assert 1 / found.scale[0] == pytest.approx(temperature, rel=0.05)


def test_the_optimum_has_the_lowest_log_loss_of_all_temperatures() -> None:
    logits, targets = drawn(3000)
    scale = fit_scaling(logits * 3.0, targets, "temperature").scale[0]
    best = log_loss(logits * 3.0 * scale, targets)
    others = [log_loss(logits * 3.0 * tried, targets) for tried in np.geomspace(0.1, 3.0, 200)]
    assert best <= min(others) + 1e-4


def test_wrong_factors_and_offsets_of_classes_are_found() -> None:
    logits, targets = wrong_classes(4000)
    found = fit_scaling(logits, targets, "vector")
    np.testing.assert_allclose(np.array(found.scale) * [3.0, 1.0, 1.0, 0.4, 1.0], 1.0, atol=0.15)
    mapped = logits * found.scale + found.offset
    assert log_loss(mapped, targets) <= log_loss(drawn(4000)[0], targets)


@pytest.mark.parametrize("kind", ["temperature", "vector"])
@pytest.mark.parametrize("factor", [0.0, 1e-6, 1e3, 1e6])
def test_extreme_logits_are_mapped_within_the_bounds_of_a_model(
    factor: float, kind: CalibrationMap
) -> None:
    logits, targets = drawn(200)
    found = fit_scaling(logits * factor, targets, kind)
    mapped = CalibratedSoftmax(found)(torch.from_numpy(logits * factor))
    assert bool(torch.isfinite(mapped).all())


def test_losses_are_those_of_softmax() -> None:
    logits, targets = drawn(50)
    expected = -log_softmax(logits, axis=1)[np.arange(50), targets]
    np.testing.assert_allclose(uncalibrated_losses(logits, targets), expected)
    assert np.isfinite(uncalibrated_losses(logits * 1e6, targets)).all()
