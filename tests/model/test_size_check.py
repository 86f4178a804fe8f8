from __future__ import annotations

import pytest
import torch
from torch import nn

from thaw.model.size_check import check_size


def blocks(weights: int) -> list[nn.Module]:
    with torch.device("meta"):
        return [nn.Linear(weights // 2, 1, bias=False) for _ in range(2)]


def stored(weights: int) -> dict[str, torch.Tensor]:
    return {"x": torch.empty(weights, device="meta")}


@pytest.mark.parametrize(
    ("needed", "given"), [(1_000_000, 0), (40_000_000, 10), (1_100_000_000, 1_000_000_000)]
)
def test_few_weights_and_those_that_are_stored_are_accepted(needed: int, given: int) -> None:
    check_size(blocks(needed), stored(given))


def test_many_more_weights_than_are_stored_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the 2 blocks .* have 1,100,000,000 weights, it has 25"):
        check_size(blocks(1_100_000_000), stored(250_000_000))
