from __future__ import annotations

from dataclasses import replace

import pytest

from tests.advice.measured import (
    FEW_DISSIMILAR,
    FEW_SIMILAR,
    MANY_DISSIMILAR,
    MANY_SIMILAR,
    measurements,
)
from thaw.advice.linear_probes import SplitTest
from thaw.advice.measurements import MAX_SIMILAR_SHIFT, is_large_shift


@pytest.mark.parametrize(
    ("split_test", "differs"),
    [
        (SplitTest(0.75, 0.05), True),
        (SplitTest(0.75, 0.09), False),  # not significant
        (SplitTest(0.58, 0.01), False),  # not large enough
    ],
)
def test_validation_images_differ_if_the_accuracy_is_large_and_significant(
    split_test: SplitTest, differs: bool
) -> None:
    assert replace(measurements(), split_test=split_test).validation_differs is differs


def test_the_limit_of_many_images_depends_on_the_similarity() -> None:
    far = MAX_SIMILAR_SHIFT + 0.1
    assert not measurements(FEW_SIMILAR).has_many_images
    assert measurements(MANY_SIMILAR).has_many_images
    assert not measurements(FEW_DISSIMILAR, shift=far).has_many_images
    assert measurements(MANY_DISSIMILAR, shift=far).has_many_images


def test_a_lower_block_is_better_from_a_lead_of_two_standard_errors() -> None:
    assert not measurements(lead=0.015).lower_block_is_better
    assert measurements(lead=0.025).lower_block_is_better


@pytest.mark.parametrize(
    ("shift", "is_large"),
    [(None, False), (MAX_SIMILAR_SHIFT, False), (MAX_SIMILAR_SHIFT + 0.01, True)],
)
def test_a_shift_above_the_limit_is_large(shift: float | None, is_large: bool) -> None:
    assert is_large_shift(shift) is is_large


def test_a_single_lower_block_is_a_candidate_for_the_head_on_dissimilar_data_only() -> None:
    assert measurements(lead=0.015).best_head_input.blocks == (3,)
    assert measurements(lead=0.05).best_head_input.blocks == (2,)
