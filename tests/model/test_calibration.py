from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from thaw.model.calibration import CalibratedSoftmax, Calibration

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 3.0, 0.0]], dtype=torch.float64)


def test_without_a_calibration_the_probabilities_are_those_of_softmax_to_the_bit() -> None:
    for none in (None, Calibration()):
        assert torch.equal(CalibratedSoftmax(none)(LOGITS), LOGITS.softmax(1))


def test_a_temperature_divides_all_logits() -> None:
    found = CalibratedSoftmax(Calibration(scale=[0.5]))(LOGITS)
    torch.testing.assert_close(found, (LOGITS / 2.0).softmax(1))
    assert torch.equal(found.argmax(1), LOGITS.argmax(1))


def test_vector_scaling_maps_each_class_by_itself() -> None:
    scale, offset = [0.5, 1.0, 2.0], [0.25, 0.0, -1.0]
    found = CalibratedSoftmax(Calibration(scale=scale, offset=offset))(LOGITS)
    expected = LOGITS * torch.tensor(scale) + torch.tensor(offset)
    torch.testing.assert_close(found, expected.softmax(1))


def test_the_probabilities_have_the_type_of_the_logits() -> None:
    softmax = CalibratedSoftmax(Calibration(scale=[0.5]))
    assert softmax(LOGITS.float()).dtype == torch.float32
    assert softmax(LOGITS).dtype == torch.float64


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, "none"),
        ({"scale": [1.0]}, "none"),
        ({"scale": [0.5]}, "temperature"),
        ({"scale": [1.0, 1.0], "offset": [0.0, 0.0]}, "vector"),
    ],
)
def test_the_kind_follows_from_the_values(values: dict[str, Any], kind: str) -> None:
    assert Calibration(**values).kind == kind


@pytest.mark.parametrize(
    "values",
    [
        {"scale": []},
        {"scale": [0.0]},
        {"scale": [-1.0]},
        {"scale": [float("nan")]},
        {"scale": [float("inf")]},
        {"scale": [1e9]},
        {"scale": [0.5], "offset": [0.1]},
        {"scale": [0.5, 0.5], "offset": [0.1]},
        {"scale": [0.5, 0.5], "offset": [0.1, float("nan")]},
        {"scale": [0.5], "temperature": 2.0},
    ],
)
def test_values_that_cannot_be_a_calibration_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate(values)


def test_a_calibration_fits_its_number_of_classes() -> None:
    assert Calibration(scale=[0.5]).fits(7)
    vector = Calibration(scale=[0.5, 2.0], offset=[0.0, 0.0])
    assert vector.fits(2)
    assert not vector.fits(3)
