from __future__ import annotations

import pytest
import torch

from thaw.training.epoch_loss import EpochLoss
from thaw.training.optimizer_step import NotFiniteError


def value(number: float) -> torch.Tensor:
    return torch.tensor(number, dtype=torch.float64)


def test_a_sum_that_was_read_in_between_has_the_same_bits() -> None:
    losses = [0.1 * number + 1 / 3 for number in range(7)]
    whole, first = EpochLoss(), EpochLoss()
    for loss in losses:
        whole.add(value(loss))
    for loss in losses[:4]:
        first.add(value(loss))
        first.read(1)
    second = EpochLoss(first.read(1))
    for loss in losses[4:]:
        second.add(value(loss))
    assert second.read(1) == whole.read(1) == sum(losses)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_reported_when_it_is_read(bad: float) -> None:
    loss = EpochLoss(1.0)
    loss.add(value(bad))
    loss.add(value(1.0))
    with pytest.raises(NotFiniteError, match=r"the training loss is (nan|inf) in epoch 3: try"):
        loss.read(3)
