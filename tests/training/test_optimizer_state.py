from __future__ import annotations

import pytest

from tests.optimizers.random_steps import groups, step
from tests.training import phase
from thaw.optimizers import registry as optimizers
from thaw.optimizers.registry import OPTIMIZERS
from thaw.training import optimizer_state

NAMES = list(OPTIMIZERS)


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
