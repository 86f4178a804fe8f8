from __future__ import annotations

import pytest
import torch
from torch import nn

from tests import settings
from thaw.model import batchnorm, head
from thaw.model.batchnorm import ChannelAffine

SIZES: list[tuple[list[int], int]] = [
    ([], 3 * 16 + 3),
    ([32], (32 * 16 + 32) + (3 * 32 + 3)),
    ([32, 8], (32 * 16 + 32) + (8 * 32 + 8) + (3 * 8 + 3)),
]


def build(hidden: list[int], seed: int = 0, dropout: float = 0.5) -> nn.Sequential:
    return head.build(
        settings.head_spec(hidden=hidden, dropout=dropout), features=16, classes=3, seed=seed
    )


@pytest.mark.parametrize(("hidden", "count"), SIZES)
def test_a_head_has_the_layers_that_are_asked_for(hidden: list[int], count: int) -> None:
    built = build(hidden)
    linear = [module for module in built if isinstance(module, nn.Linear)]
    assert [layer.out_features for layer in linear] == [*hidden, 3]
    assert head.widths(settings.head_spec(hidden=hidden), 3) == [*hidden, 3]
    assert sum(parameter.numel() for parameter in built.parameters()) == count
    assert built(torch.randn(5, 16)).shape == (5, 3)


@pytest.mark.parametrize("hidden", [[], [32]])
def test_the_input_width_is_the_number_of_features_that_the_head_reads(hidden: list[int]) -> None:
    assert head.input_width(build(hidden)) == 16


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


ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def normalised(norm: str, activation: str = "relu", hidden: tuple[int, ...] = (32, 8)) -> nn.Module:
    settled = settings.head_spec(hidden=list(hidden), norm=norm, activation=activation, dropout=0.5)
    return head.build(settled, features=16, classes=3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", *NORMS])
def test_a_hidden_layer_is_dropout_linear_norm_activation(norm: str, activation: str) -> None:
    expected: list[type[nn.Module]] = []
    for _ in range(2):
        expected += [nn.Dropout, nn.Linear, *([NORMS[norm]] if norm in NORMS else [])]
        expected.append(ACTIVATIONS[activation])
    built = list(normalised(norm, activation).children())
    for module, kind in zip(built, [*expected, nn.Dropout, nn.Linear], strict=True):
        assert isinstance(module, kind)


@pytest.mark.parametrize("norm", NORMS)
def test_the_inputs_of_each_activation_are_normalised(norm: str) -> None:
    built = normalised(norm).train()
    seen: list[torch.Tensor] = []
    for module in built.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    built(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) * 7 + 3)
    axis = 0 if norm == "batch" else 1
    for values in seen:
        zeros = torch.zeros(values.shape[1 - axis])
        torch.testing.assert_close(values.mean(axis), zeros, rtol=0, atol=1e-5)
        torch.testing.assert_close(values.var(axis, unbiased=False), zeros + 1, rtol=0, atol=1e-2)
    assert len(seen) == 2


def test_a_training_batch_of_one_row_is_normalised_by_the_running_statistics() -> None:
    built = normalised("batch", hidden=(32,))
    nn.init.normal_(list(built.children())[-1].weight)  # type: ignore[arg-type]
    built.train()
    for module in built.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    built(torch.randn(20, 16) * 3)
    before = {key: value.clone() for key, value in built.state_dict().items()}
    row = torch.randn(1, 16, requires_grad=True)
    found = built(row)
    assert all(torch.equal(value, before[key]) for key, value in built.state_dict().items())
    found.sum().backward()
    assert all(p.grad is not None for p in built.parameters())
    torch.testing.assert_close(built.eval()(row), found)


def test_a_heads_batchnorm_folds_into_an_affine_map_that_gives_the_same() -> None:
    built = normalised("batch")
    nn.init.normal_(list(built.children())[-1].weight)  # type: ignore[arg-type]
    built.train()
    for _ in range(5):
        built(torch.randn(40, 16) * 3 + 1)
    built.eval()
    features = torch.randn(7, 16)
    before = built(features)
    assert batchnorm.fold_all(built) == 2
    assert not any(isinstance(module, nn.BatchNorm1d) for module in built.modules())
    assert sum(isinstance(module, ChannelAffine) for module in built.modules()) == 2
    torch.testing.assert_close(built(features), before, rtol=1e-4, atol=1e-5)
    assert float(before.detach().std()) > 0.1
    built.train()
    built(torch.randn(1, 16)).sum().backward()  # and it trains at any batch size
