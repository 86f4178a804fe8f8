from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests import tiny
from tests.training import phase
from thaw.model.freeze_plan import Plan
from thaw.model.freezing import apply_plan
from thaw.training import optimizers

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import BatchNormPolicy


def groups(model: Classifier, **changes: float) -> list[dict[str, Any]]:
    values = {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.01, **changes}
    return optimizers.parameter_groups(model, **values)


@pytest.mark.parametrize("policy", phase.POLICIES)
@pytest.mark.parametrize("depth", range(4))
def test_every_trainable_parameter_is_in_exactly_one_group(
    depth: int, policy: BatchNormPolicy
) -> None:
    model = phase.model(depth, policy)
    made = groups(model)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert sorted(name for group in made for name in group["names"]) == sorted(trainable)
    named = dict(model.named_parameters())
    for group in made:
        assert all(
            parameter is named[name]
            for name, parameter in zip(group["names"], group["params"], strict=True)
        )


def test_the_blocks_of_a_surgical_plan_are_grouped_too() -> None:
    model = tiny.classifier()
    apply_plan(model, Plan(frozenset({0}), 3))
    rates = {name: group["lr"] for group in groups(model) for name in group["names"]}
    assert set(rates) == {
        "head.1.weight",
        "head.1.bias",
        "blocks.0.0.weight",
        "blocks.0.1.weight",
        "blocks.0.1.bias",
    }
    assert rates["blocks.0.0.weight"] == pytest.approx(0.1 * 0.5**3)


@pytest.mark.parametrize("lr_decay", [1.0, 0.5])
def test_the_rate_falls_with_the_distance_from_the_head(lr_decay: float) -> None:
    for group in groups(phase.model(3), lr_decay=lr_decay):
        for name in group["names"]:
            distance = 3 - int(name.split(".")[1]) if name.startswith("blocks") else 0
            assert group["lr"] == group["base_lr"] == pytest.approx(0.1 * lr_decay**distance)


@pytest.mark.parametrize("policy", phase.POLICIES)
def test_vectors_do_not_decay_and_matrices_do(policy: BatchNormPolicy) -> None:
    made = groups(phase.model(3, policy), weight_decay=0.25)
    decays = {name: group["weight_decay"] for group in made for name in group["names"]}
    matrices = {"head.1.weight", "blocks.0.0.weight", "blocks.1.0.weight", "blocks.2.0.weight"}
    assert {name for name, decay in decays.items() if decay == 0.25} == matrices
    assert {decay for name, decay in decays.items() if name not in matrices} == {0.0}


def test_the_first_group_is_the_heads() -> None:
    assert groups(phase.model(3))[0]["names"] == ["head.1.weight"]  # its rate is what is logged


# The optimisers.

NAMES: list[optimizers.Name] = ["adamw", "sgd", "lamb"]


def step(optimizer: torch.optim.Optimizer, seed: int = 0, scale: float = 1.0) -> None:
    """A step with a gradient for every parameter."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in optimizers.parameters(optimizer):
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.grad = torch.zeros_like(parameter).copy_(noise)
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_is_decoupled_from_the_gradient(name: optimizers.Name) -> None:
    model = phase.model(1)
    before = phase.state(model)
    step(optimizers.build(name, groups(model, lr_decay=1.0, weight_decay=0.25)), scale=0.0)
    after = phase.state(model)
    matrices = ["blocks.2.0.weight", "head.1.weight"]
    assert phase.differing(before, after) == matrices
    for key in matrices:
        torch.testing.assert_close(after[key], before[key] * (1 - 0.1 * 0.25))


def test_sgd_is_nesterovs_with_the_decay_apart() -> None:
    model = phase.model(3)
    optimizer = optimizers.build("sgd", groups(model, weight_decay=0.25))
    ours = {name: p.detach().clone() for name, p in model.named_parameters()}
    for seed in range(3):
        step(optimizer, seed)
    rates = {name: group for group in optimizer.param_groups for name in group["names"]}
    speed = {name: torch.zeros_like(value) for name, value in ours.items()}
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        for name, group in rates.items():  # in the order of the parameters
            gradient = torch.randn(ours[name].shape, generator=generator)
            speed[name] = 0.9 * speed[name] + gradient
            decay = 0.25 if ours[name].ndim > 1 else 0.0
            ours[name] = ours[name] * (1 - group["lr"] * decay)
            ours[name] = ours[name] - group["lr"] * (gradient + 0.9 * speed[name])
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), ours[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("weight_decay", [0.0, 0.25])
def test_lamb_moves_a_matrix_by_the_rate_of_its_own_norm(weight_decay: float) -> None:
    model = phase.model(3)
    before = phase.state(model)
    made = groups(model, weight_decay=weight_decay)
    step(optimizers.build("lamb", made))
    rates = {name: group["lr"] for group in made for name in group["names"]}
    for name, parameter in model.named_parameters():
        moved = (parameter.detach() - before[name]).norm()
        if parameter.ndim > 1:  # You et al. 2020, Algorithm 2
            torch.testing.assert_close(moved, rates[name] * before[name].norm(), rtol=1e-4, atol=0)
        else:  # as Adam's first step: the rate in every entry
            expected = rates[name] * parameter.numel() ** 0.5
            assert float(moved) == pytest.approx(expected, rel=1e-3)


def test_lamb_does_not_clip_the_gradient_again() -> None:
    states = []
    for scale in (1.0, 1000.0):
        model = phase.model(3)
        optimizer = optimizers.build("lamb", groups(model))
        step(optimizer, 0, 1.0)
        step(optimizer, 1, scale)
        states.append(phase.state(model))
    moments = [phase.differing(*states)]
    assert "head.1.weight" in moments[0]  # clipped to norm 1, both would be the same


@pytest.mark.parametrize("name", NAMES)
def test_a_head_that_starts_at_zero_learns(name: optimizers.Name) -> None:
    model = phase.model(0)
    for parameter in model.head.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = optimizers.build(name, groups(model, lr=0.01, weight_decay=0.25))
    for _ in range(20):  # the same gradient each time
        step(optimizer)
    weight = dict(model.head.named_parameters())["1.weight"].detach()
    assert float(weight.abs().median()) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_gradient_stays_where_it_is(name: optimizers.Name) -> None:
    model = phase.model(3)
    optimizer = optimizers.build(name, groups(model))
    model.blocks[0].requires_grad_(requires_grad=False)
    before = phase.state(model)
    step(optimizer)
    assert not any(
        key.startswith("blocks.0") for key in phase.differing(before, phase.state(model))
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_restored_optimiser_goes_on_to_the_same_bits(name: optimizers.Name, frozen: bool) -> None:
    first, second = phase.model(3), phase.model(3)
    one, other = (optimizers.build(name, groups(model)) for model in (first, second))
    for model in (first, second):
        model.blocks[0].requires_grad_(requires_grad=not frozen)
    for seed in range(3):
        step(one, seed)
    kept = {key: value.clone() for key, value in optimizers.state(one).items()}
    second.load_state_dict(phase.state(first))
    optimizers.restore(other, kept)
    for optimizer, model in ((one, first), (other, second)):
        model.blocks[0].requires_grad_(requires_grad=True)
        step(optimizer, 4)
    assert phase.differing(phase.state(first), phase.state(second)) == []
    again = optimizers.state(other)
    assert set(kept) <= set(again)
    assert phase.differing(optimizers.state(one), again) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_block_that_thaws_late_starts_as_one_that_was_never_frozen(name: optimizers.Name) -> None:
    moved = []
    for wait in (0, 5):
        model = phase.model(3)
        optimizer = optimizers.build(name, groups(model))
        model.blocks[0].requires_grad_(requires_grad=False)
        for _ in range(wait):
            step(optimizer)
        optimizers.forget_idle_steps(optimizer)
        model.blocks[0].requires_grad_(requires_grad=True)
        step(optimizer, 7)
        moved.append(phase.state(model.blocks[0]))
    assert phase.differing(*moved) == []
