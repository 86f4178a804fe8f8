from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from torch import nn

from tests import tiny
from thaw.data.loading import ActivationSource
from thaw.training.calibration import kept_losses
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.validation import validate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def source(logits: list[list[float]]) -> ActivationSource:
    """Return logits as inputs of a network that returns them; the targets are all class 1."""
    rows: NDArray[np.float32] = np.array(logits, dtype=np.float32)
    return ActivationSource(rows, np.ones(len(rows), dtype=np.int64))


def test_the_loss_is_the_mean_cross_entropy_and_the_accuracy_the_share_of_hits() -> None:
    loss, accuracy = validate(tiny.runtime(), nn.Identity(), source([[0.0, 0.0], [0.0, 1.0]]), 1)
    expected = (np.log(2) + np.log(1 + np.exp(-1))) / 2
    assert loss == pytest.approx(expected, rel=1e-6)
    assert accuracy == 0.5


def test_a_loss_that_is_not_finite_names_the_epoch() -> None:
    bad = source([[0.0, float("nan")]])
    with pytest.raises(NotFiniteError, match=r"the validation loss is nan after epoch 4: try"):
        validate(tiny.runtime(), nn.Identity(), bad, 4)


def test_a_calibrated_loss_does_not_depend_on_the_scale_of_the_logits() -> None:
    random = np.random.default_rng(0)
    targets = np.arange(600) % 2
    sure = random.normal(0, 1, (600, 2)) + 2 * np.eye(2)[targets]
    losses = {}
    for scale in (0.1, 1.0, 10.0):
        scaled = ActivationSource((scale * sure).astype(np.float32), targets)
        losses[scale] = validate(
            tiny.runtime(), nn.Identity(), scaled, 1, calibration="temperature"
        )[0]
        plain = validate(tiny.runtime(), nn.Identity(), scaled, 1)[0]
        assert scale == 1.0 or plain > losses[scale] + 0.05
    assert losses[0.1] == pytest.approx(losses[1.0], rel=0.05)
    assert losses[10.0] == pytest.approx(losses[1.0], rel=0.05)


def test_a_network_that_keeps_no_temperature_is_validated_without_one() -> None:
    random = np.random.default_rng(3)
    targets = np.arange(12) % 2
    rows = (random.normal(0, 1, (12, 2)) + np.eye(2)[targets]).astype(np.float32)
    known = ActivationSource(rows, targets)
    found = {
        setting: validate(tiny.runtime(), nn.Identity(), known, 1, calibration=setting)[0]
        for setting in ("off", "auto", "temperature")
    }
    assert found["off"] < found["temperature"]
    assert found["auto"] == pytest.approx(found["off"], rel=1e-12)


def test_no_vector_scaling_is_fitted_in_an_epoch() -> None:
    random = np.random.default_rng(3)
    targets = np.arange(600) % 2
    biased = random.normal(0, 1, (600, 2)) + np.eye(2)[targets] + np.array([0.0, 2.0])
    known = ActivationSource(biased.astype(np.float32), targets)
    found = {
        setting: validate(tiny.runtime(), nn.Identity(), known, 1, calibration=setting)[0]
        for setting in ("temperature", "vector")
    }
    assert found["vector"] == found["temperature"]
    rows = biased.astype(np.float32).astype(np.float64)
    assert kept_losses(rows, targets, "vector").mean() < found["vector"] - 0.05
