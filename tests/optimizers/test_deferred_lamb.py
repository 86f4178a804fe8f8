from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.optimizers.random_steps import groups, step
from tests.training import phase
from tests.training.no_reading import no_reading
from thaw.optimizers import registry as optimizers
from thaw.optimizers.deferred_lamb import DeferredLamb
from thaw.training import optimizer_state
from thaw.training.parameter_groups import parameters_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from thaw.model.classifier import Classifier


def built(model: Classifier, *, fused: bool = True, **changes: float) -> Optimizer:
    return optimizers.build("lamb", groups(model, **changes), fused=fused)


def numbers(optimizer: Optimizer) -> dict[str, Any]:
    return {key: value.clone() for key, value in optimizer_state.state(optimizer).items()}


@pytest.mark.parametrize("weight_decay", [0.0, 0.25])
@pytest.mark.parametrize("zeros", [False, True])  # a group that starts at zero is not scaled
def test_deferred_lamb_moves_the_weights_as_timms_lamb(weight_decay: float, zeros: bool) -> None:
    ends = []
    for fused in (True, False):
        model = phase.model(3)
        if zeros:
            for parameter in model.head.parameters():
                torch.nn.init.zeros_(parameter)
        optimizer = built(model, fused=fused, weight_decay=weight_decay)
        for seed in range(5):
            step(optimizer, seed)
        ends.append(phase.state(model))
    for name, expected in ends[1].items():
        torch.testing.assert_close(ends[0][name], expected, rtol=2e-5, atol=2e-6, msg=name)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 0.5])
@pytest.mark.parametrize("before", [0, 2])
def test_a_skipped_step_changes_no_bit_of_weights_and_state(value: float, before: int) -> None:
    model = phase.model(3)
    optimizer = built(model, weight_decay=0.25)
    for seed in range(before):
        step(optimizer, seed)
    weights, kept = phase.state(model), numbers(optimizer)
    for parameter in parameters_of(optimizer):
        parameter.grad = torch.full_like(parameter, value)
    optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
    optimizer.step()
    assert phase.differing(weights, phase.state(model)) == []
    for key, held in numbers(optimizer).items():
        assert torch.equal(held, kept.get(key, torch.zeros_like(held))), key


def test_after_a_skipped_first_step_lamb_goes_on_as_if_that_had_not_been() -> None:
    ends = []
    for skipped in (True, False):
        model = phase.model(3)
        optimizer = built(model)
        if skipped:
            optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
            step(optimizer, 9, torch.nan)
            del optimizer.found_inf  # type: ignore[attr-defined]
        for seed in range(3):
            step(optimizer, seed)
        ends.append(phase.state(model))
    assert phase.differing(*ends) == []


def test_a_step_reads_no_value() -> None:
    optimizer = built(phase.model(3), weight_decay=0.25)
    optimizer.found_inf = torch.zeros(())  # type: ignore[attr-defined]
    with no_reading():
        step(optimizer)
        step(optimizer)


def test_a_restored_deferred_lamb_goes_on_to_the_same_bits() -> None:
    first = phase.model(3)
    one = built(first)
    for seed in range(3):
        step(one, seed)
    second = copy.deepcopy(first)
    other = built(second)
    optimizer_state.restore(other, numbers(one))
    step(one, 4)
    step(other, 4)
    assert phase.differing(phase.state(first), phase.state(second)) == []
    assert phase.differing(numbers(one), numbers(other)) == []


@pytest.mark.gpu
def test_the_state_of_deferred_lamb_is_restored_to_the_gpu() -> None:
    model = phase.model(3).to("cuda")
    one, other = built(model), built(model)
    step(one)
    optimizer_state.restore(other, {k: v.cpu() for k, v in optimizer_state.state(one).items()})
    assert all(value.is_cuda for value in optimizer_state.state(other).values())
    step(other)


def test_timms_lamb_is_used_on_a_cpu_and_its_steps_are_counted_there() -> None:
    optimizer = built(phase.model(3), fused=False)
    assert not isinstance(optimizer, DeferredLamb)
    step(optimizer)
    assert optimizer.param_groups[0]["step"].device.type == "cpu"
