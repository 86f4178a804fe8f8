from __future__ import annotations

import pytest
import torch
from torch import nn

from tests import settings
from thaw.model import head

SIZES: list[tuple[list[int], int]] = [
    ([], 3 * 16 + 3),
    ([32], (32 * 16 + 32) + (3 * 32 + 3)),
    ([32, 8], (32 * 16 + 32) + (8 * 32 + 8) + (3 * 8 + 3)),
]


def build(hidden: list[int], seed: int = 0, dropout: float = 0.5) -> nn.Sequential:
    return head.build(
        settings.head(hidden=hidden, dropout=dropout), features=16, classes=3, seed=seed
    )


@pytest.mark.parametrize(("hidden", "count"), SIZES)
def test_a_head_has_the_layers_that_are_asked_for(hidden: list[int], count: int) -> None:
    built = build(hidden)
    linear = [module for module in built if isinstance(module, nn.Linear)]
    assert [layer.out_features for layer in linear] == [*hidden, 3]
    assert sum(parameter.numel() for parameter in built.parameters()) == count
    assert built(torch.randn(5, 16)).shape == (5, 3)


@pytest.mark.parametrize("hidden", [[], [32], [32, 8]])
def test_every_linear_layer_has_its_dropout_before_it(hidden: list[int]) -> None:
    built = list(build(hidden, dropout=0.25))
    for place, module in enumerate(built):
        if isinstance(module, nn.Linear):
            before = built[place - 1]
            assert isinstance(before, nn.Dropout)
            assert before.p == 0.25


@pytest.mark.parametrize("hidden", [[], [32]])
def test_the_first_logits_are_equal(hidden: list[int]) -> None:
    assert torch.equal(build(hidden)(torch.randn(5, 16)), torch.zeros(5, 3))


def test_a_head_depends_on_its_seed_alone() -> None:
    torch.manual_seed(1)
    first = build([32, 8], seed=7).state_dict()
    torch.manual_seed(2)
    again = build([32, 8], seed=7).state_dict()
    other = build([32, 8], seed=8).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["1.weight"], other["1.weight"])
    assert not torch.equal(first["4.weight"], other["4.weight"])


def test_building_a_head_does_not_move_the_global_random_state() -> None:
    before = torch.get_rng_state()
    build([32])
    assert torch.equal(torch.get_rng_state(), before)
