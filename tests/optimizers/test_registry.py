from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest
import torch

from tests.optimizers.random_steps import groups, step
from tests.training import phase
from thaw.config import training_sections
from thaw.optimizers import registry as optimizers
from thaw.optimizers.registry import OPTIMIZERS, Kind
from thaw.training.parameter_groups import parameters_of

NAMES = list(OPTIMIZERS)


def test_an_optimiser_added_to_the_registry_is_a_value_that_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Kind(lambda groups, _: torch.optim.RAdam(groups), 2, "Liu et al. 2020", "no warm-up")
    monkeypatch.setitem(OPTIMIZERS, "radam", row)
    section = sections_of_a_new_process(monkeypatch).WarmupHead
    assert section(optimizer="radam").optimizer == "radam"
    assert "radam has no warm-up" in section.model_fields["optimizer"].description
    with pytest.raises(ValueError, match="or 'radam'"):
        section(optimizer="adam")
    model = phase.model(1)
    before = phase.state(model)
    optimizer = optimizers.build("radam", groups(model))
    step(optimizer)
    assert isinstance(optimizer, torch.optim.RAdam)
    assert phase.differing(before, phase.state(model))


def sections_of_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module of the training sections as a new process would import it now."""
    spec = importlib.util.spec_from_file_location("imported_again", training_sections.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "imported_again", module)
    spec.loader.exec_module(module)
    return module


def test_the_names_of_optimisers_are_known_without_torch() -> None:
    code = "import sys, thaw.config.params; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_an_optimiser_keeps_as_many_numbers_for_each_weight_as_its_row_says(
    name: str,
) -> None:
    optimizer = optimizers.build(name, groups(phase.model(1)))
    step(optimizer)
    weights = [p for p in parameters_of(optimizer) if p.requires_grad]
    kept = [
        sum(
            torch.is_tensor(value) and value.shape == weight.shape
            for value in optimizer.state[weight].values()
        )
        for weight in weights
    ]
    assert kept == [optimizers.OPTIMIZERS[name].moments] * len(weights)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_is_decoupled_from_the_gradient(name: str) -> None:
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
def test_a_head_that_starts_at_zero_learns(name: str) -> None:
    model = phase.model(0)
    for parameter in model.head.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = optimizers.build(name, groups(model, lr=0.01, weight_decay=0.25))
    for _ in range(20):  # the same gradient each time
        step(optimizer)
    weight = dict(model.head.named_parameters())["1.weight"].detach()
    assert float(weight.abs().median()) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_parameters_without_a_gradient_do_not_change(name: str) -> None:
    model = phase.model(3)
    optimizer = optimizers.build(name, groups(model))
    model.blocks[0].requires_grad_(requires_grad=False)
    before = phase.state(model)
    step(optimizer)
    assert not any(
        key.startswith("blocks.0") for key in phase.differing(before, phase.state(model))
    )
