from __future__ import annotations

from dataclasses import replace

import pytest

from tests.advice.measured import measurements
from thaw.advice.linear_probes import SplitTest
from thaw.advice.measurements import MAX_SIMILAR_SHIFT
from thaw.advice.reasons import reasons


def test_the_reasons_state_the_measured_numbers() -> None:
    found = "\n".join(reasons(measurements(30, shift=0.42, lead=0.05)))
    for number in ("120 training images in 4 classes, 30 per class", "0.750", "0.700", "0.42"):
        assert number in found


@pytest.mark.parametrize(
    ("lead", "sentence"),
    [
        (0.0, "The features of the last block classify best of all blocks (accuracy 0.700)"),
        (0.015, "The features of no block are clearly better than those of the last one (block 2"),
        (0.05, "The features of block 2 classify better than those of the last block"),
    ],
)
def test_the_lead_of_the_best_block_is_explained(lead: float, sentence: str) -> None:
    assert sentence in "\n".join(reasons(measurements(lead=lead)))


@pytest.mark.parametrize(
    ("shift", "sentence"),
    [
        (None, "The backbone has no BatchNorm, so no shift of its statistics was measured."),
        (0.3, "shifted by 0.30 standard deviations: the data is similar to the pretraining data"),
        (
            MAX_SIMILAR_SHIFT + 0.1,
            "shifted by 0.70 standard deviations: the data differs from the pretraining data",
        ),
    ],
)
def test_the_shift_of_the_statistics_is_explained(shift: float | None, sentence: str) -> None:
    assert sentence in "\n".join(reasons(measurements(shift=shift)))


@pytest.mark.parametrize(
    ("accuracy", "sentence"),
    [
        (0.52, "Validation images look like training images"),
        (0.75, "Validation images look different from training images (balanced accuracy 0.75"),
    ],
)
def test_the_difference_of_the_splits_is_explained(accuracy: float, sentence: str) -> None:
    measured = replace(measurements(), split_test=SplitTest(accuracy, 0.02))
    assert any(reason.startswith(sentence) for reason in reasons(measured))


def test_nothing_is_compared_with_pretraining_data_without_pretrained_weights() -> None:
    first, *others = reasons(replace(measurements(shift=None), from_scratch=True))
    assert first.startswith("backbone.weights is none: there is no pretraining data")
    assert not any("pretraining data" in reason for reason in others)


def test_every_reason_ends_as_a_sentence() -> None:
    for measured in (measurements(), replace(measurements(shift=None), from_scratch=True)):
        assert all(reason.endswith(".") for reason in reasons(measured))
