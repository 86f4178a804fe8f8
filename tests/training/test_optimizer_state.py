from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.training import phase
from thaw.optimizers import registry as optimizers
from thaw.optimizers.registry import OPTIMIZERS
from thaw.training import optimizer_state
from thaw.training.parameter_groups import parameter_groups, parameters_of

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier


def groups(model: Classifier, **changes: float) -> list[dict[str, Any]]:
    values = {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.01, **changes}
    return parameter_groups(model, **values)


NAMES = list(OPTIMIZERS)


def step(optimizer: torch.optim.Optimizer, seed: int = 0, scale: float = 1.0) -> None:
    """Make one step with a random gradient for every trainable parameter."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters_of(optimizer):
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.grad = torch.zeros_like(parameter).copy_(noise)
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_restored_optimiser_goes_on_to_the_same_bits(name: str, frozen: bool) -> None:
    first, second = phase.model(3), phase.model(3)
    one, other = (optimizers.build(name, groups(model)) for model in (first, second))
    for model in (first, second):
        model.blocks[0].requires_grad_(requires_grad=not frozen)
    for seed in range(3):
        step(one, seed)
    kept = {key: value.clone() for key, value in optimizer_state.state(one).items()}
    second.load_state_dict(phase.state(first))
    optimizer_state.restore(other, kept)
    for optimizer, model in ((one, first), (other, second)):
        model.blocks[0].requires_grad_(requires_grad=True)
        step(optimizer, 4)
    assert phase.differing(phase.state(first), phase.state(second)) == []
    again = optimizer_state.state(other)
    assert set(kept) <= set(again)
    assert phase.differing(optimizer_state.state(one), again) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_block_that_thaws_late_starts_as_one_that_was_never_frozen(name: str) -> None:
    moved = []
    for wait in (0, 5):
        model = phase.model(3)
        optimizer = optimizers.build(name, groups(model))
        model.blocks[0].requires_grad_(requires_grad=False)
        for _ in range(wait):
            step(optimizer)
        optimizer_state.forget_idle_steps(optimizer)
        model.blocks[0].requires_grad_(requires_grad=True)
        step(optimizer, 7)
        moved.append(phase.state(model.blocks[0]))
    assert phase.differing(*moved) == []
