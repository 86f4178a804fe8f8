from __future__ import annotations

import math

import pytest
import torch

from thaw.errors import ThawError
from thaw.stages.fold_bn import proof

LOGITS = torch.tensor([[1.0, -4.0], [2.0, 0.5]])


def moved(by: float) -> torch.Tensor:
    other = LOGITS.clone()
    other[1, 1] += by
    return other


def test_a_move_within_the_tolerance_is_told_over_the_logits_scale() -> None:
    found = proof(LOGITS, moved(0.0078125), 0.002, "fold")
    assert found == {"fold_largest_move": 0.0078125, "fold_relative_move": 0.0078125 / 4}


@pytest.mark.parametrize("by", [0.01, -0.01, math.nan, math.inf])
def test_a_larger_move_is_refused_with_its_numbers(by: float) -> None:
    with pytest.raises(ThawError, match=r"the merge moved a logit by .*fold_bn.tolerance = 0.002"):
        proof(LOGITS, moved(by), 0.002, "merge")


def test_where_all_logits_are_zero_nothing_may_move_at_all() -> None:
    zeros = torch.zeros(2, 2)
    assert proof(zeros, zeros, 0.001, "fold")["fold_relative_move"] == 0
    with pytest.raises(ThawError):
        proof(zeros, zeros + 0.002, 0.001, "fold")
