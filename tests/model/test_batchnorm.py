from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tests import settings, tiny
from thaw.model import zoo
from thaw.model.batchnorm import (
    ChannelAffine,
    affine_names,
    fold,
    fold_all,
    merge,
    merge_pairs,
    merged_copy,
)
from thaw.model.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Callable

RELATIVE = 1e-5


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def seen_data(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give the BatchNorms of ``module`` statistics and weights as after a training; return it."""
    generator = torch.Generator().manual_seed(seed)
    for bn in module.modules():
        if isinstance(bn, _BatchNorm) and bn.running_mean is not None:
            assert bn.running_var is not None
            bn.running_mean.normal_(std=0.3, generator=generator)
            bn.running_var.uniform_(0.2, 2.0, generator=generator)
            if bn.weight is not None:
                nn.init.uniform_(bn.weight, 0.5, 1.5, generator=generator)
                nn.init.normal_(bn.bias, std=0.3, generator=generator)
    return module.eval()


def moved(before: Tensor, after: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return float(((after - before).abs().max() / before.abs().max()).detach())


def network(*modules: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return seen_data(nn.Sequential(*modules))


def real(name: str) -> nn.Module:
    torch.manual_seed(0)
    backbone = zoo.load(settings.backbone(name))[0]
    return seen_data(Classifier(backbone.blocks, backbone.pool, nn.Identity()))


# The fold.


@pytest.mark.parametrize(
    ("bn", "shape"),
    [
        (nn.BatchNorm1d(5), (7, 5)),
        (nn.BatchNorm1d(5), (7, 5, 9)),
        (nn.BatchNorm2d(5), (7, 5, 4, 6)),
        (nn.BatchNorm3d(5), (2, 5, 3, 4, 5)),
        (nn.BatchNorm2d(5, affine=False), (7, 5, 4, 6)),
        (nn.BatchNorm2d(5, eps=0.1), (7, 5, 4, 6)),
    ],
    ids=["1d", "1d sequence", "2d", "3d", "no affine part", "large eps"],
)
def test_the_fold_equals_evaluation_mode(bn: _BatchNorm, shape: tuple[int, ...]) -> None:
    seen_data(bn)
    inputs = noise(*shape)
    assert moved(bn(inputs), fold(bn)(inputs)) < RELATIVE


def test_the_fold_equals_where_the_variance_is_nearly_nothing() -> None:
    bn = nn.BatchNorm2d(5)
    seen_data(bn)
    assert bn.running_var is not None
    bn.running_var.fill_(1e-12)
    inputs = noise(7, 5, 4, 6)
    assert moved(bn(inputs), fold(bn)(inputs)) < RELATIVE


@pytest.mark.parametrize("bn", [nn.BatchNorm2d(3), BatchNormAct2d(3)], ids=["torch", "timm"])
def test_a_batch_norm_without_running_statistics_is_refused(bn: nn.Module) -> None:
    assert isinstance(bn, _BatchNorm)
    bn.running_mean = bn.running_var = None
    with pytest.raises(ValueError, match="without running statistics"):
        fold(bn)


def test_fold_all_folds_every_batch_norm_and_no_logit_moves() -> None:
    model = tiny.classifier()
    before = model(noise(4, 3, 16, 16))
    assert fold_all(model) == 3
    assert not any(isinstance(module, _BatchNorm) for module in model.modules())
    assert affine_names(model) == ["blocks.0.1", "blocks.1.1", "blocks.2.1"]
    assert moved(before, model(noise(4, 3, 16, 16))) < RELATIVE


def test_a_folded_network_does_not_depend_on_the_batch_in_training_mode() -> None:
    model = tiny.classifier()
    fold_all(model)
    inputs = noise(8, 3, 16, 16)
    model.train()
    assert moved(model(inputs)[:1], model(inputs[:1])) < RELATIVE


# Single precision moves what fifty layers make of 1e-7; double tells that from a wrong formula.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", ["timm/tf_efficientnet_lite0", "torchvision/resnet18"])
def test_a_real_network_can_be_folded_and_merged_without_a_move(
    name: str, dtype: torch.dtype, tolerance: float
) -> None:
    torch.set_num_threads(1)
    model = real(name).to(dtype)
    count = sum(isinstance(module, _BatchNorm) for module in model.modules())
    inputs = noise(2, 3, 64, 64).to(dtype)
    with torch.no_grad():
        before = model(inputs)
        assert fold_all(model) == count
        assert moved(before, model(inputs)) < tolerance
        pairs = merge_pairs(model, inputs[:1])
        merge(model, pairs)
        assert moved(before, model(inputs)) < tolerance
    assert len(pairs) == count
    assert affine_names(model) == []


def test_the_affine_part_of_a_folded_network_trains() -> None:
    model = tiny.classifier()
    fold_all(model)
    model.train()
    parameters = dict(model.named_parameters())
    assert {"blocks.0.1.weight", "blocks.0.1.bias", "blocks.2.1.weight"} <= set(parameters)
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01)
    targets = torch.tensor([0, 1, 2, 0])
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(noise(4, 3, 16, 16)), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(bool(p.grad is not None and p.grad.any()) for p in parameters.values())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)


def test_the_gradient_through_the_fold_is_that_through_evaluation_mode() -> None:
    bn = nn.BatchNorm2d(5)
    seen_data(bn)
    folded = fold(bn)
    gradients = []
    for module in (bn, folded):
        inputs = noise(2, 5, 4, 4).requires_grad_()
        module(inputs).square().sum().backward()
        assert inputs.grad is not None
        gradients.append(inputs.grad)
    assert moved(*gradients) < RELATIVE


def test_the_fold_keeps_the_activation_of_timms_batch_norm() -> None:
    bn = BatchNormAct2d(5, act_layer=nn.ReLU)
    seen_data(bn)
    inputs = noise(2, 5, 4, 4)
    folded = fold(bn)
    assert float(folded(inputs).detach().min()) == 0
    assert moved(bn(inputs), folded(inputs)) < RELATIVE


def test_the_fold_keeps_the_dropout_of_timms_batch_norm_before_its_activation() -> None:
    bn = BatchNormAct2d(5, act_layer=nn.Sigmoid, drop_layer=nn.Dropout)
    seen_data(bn)
    folded = fold(bn).train()
    outputs = folded(noise(2, 5, 8, 8))
    # what was dropped is 0 before the sigmoid, so 0.5 after it
    assert 0.3 < float((outputs == 0.5).double().mean()) < 0.7


# The merge.

CONVOLUTIONS: dict[str, Callable[[], nn.Conv2d]] = {
    "plain": lambda: nn.Conv2d(6, 12, 3, bias=False),
    "with bias": lambda: nn.Conv2d(6, 12, 3, bias=True),
    "grouped": lambda: nn.Conv2d(6, 12, 3, groups=3, bias=True),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, groups=6, bias=False),
    "depthwise, multiplied": lambda: nn.Conv2d(6, 12, 3, groups=6, bias=True),
    "strided": lambda: nn.Conv2d(6, 12, 3, stride=2, padding=1, dilation=2, bias=False),
    "reflecting border": lambda: nn.Conv2d(6, 12, 3, padding=1, padding_mode="reflect"),
}


@pytest.mark.parametrize("make", CONVOLUTIONS.values(), ids=list(CONVOLUTIONS))
def test_the_merge_equals_the_convolution_and_its_affine_map(make: Callable[[], nn.Conv2d]) -> None:
    torch.manual_seed(0)
    conv = make()
    model = network(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU())
    inputs = noise(2, 6, 9, 9)
    before = model(inputs)
    fold_all(model)
    pairs = merge_pairs(model, inputs)
    merge(model, pairs)
    assert pairs == [("0", "1")]
    assert affine_names(model) == []
    assert moved(before, model(inputs)) < RELATIVE


def test_the_merge_uses_the_affine_map_as_training_left_it() -> None:
    model = network(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    fold_all(model)
    affine = model.get_submodule("1")
    assert isinstance(affine, ChannelAffine)
    nn.init.normal_(affine.weight)
    nn.init.normal_(affine.bias)
    inputs = noise(2, 3, 9, 9)
    before = model(inputs)
    merge(model, merge_pairs(model, inputs))
    assert moved(before, model(inputs)) < RELATIVE


def test_the_merge_keeps_the_activation_of_timms_batch_norm() -> None:
    model = network(nn.Conv2d(3, 4, 3), BatchNormAct2d(4, act_layer=nn.Tanh), nn.Conv2d(4, 2, 1))
    inputs = noise(2, 3, 9, 9)
    before = model(inputs)
    fold_all(model)
    merge(model, merge_pairs(model, inputs))
    assert isinstance(model.get_submodule("1"), nn.Tanh)
    assert moved(before, model(inputs)) < RELATIVE


def test_a_merged_network_still_trains() -> None:
    model = network(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    inputs = noise(2, 3, 9, 9)
    fold_all(model)
    merge(model, merge_pairs(model, inputs))
    model(inputs).sum().backward()
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_batch_norm_before_the_convolution_stays() -> None:
    model = network(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3))
    inputs = noise(2, 3, 9, 9)
    before = model(inputs)
    fold_all(model)
    assert merge_pairs(model, inputs) == []
    assert affine_names(model) == ["0"]
    assert moved(before, model(inputs)) < RELATIVE


def test_batch_norm_behind_an_activation_stays() -> None:
    model = network(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4))
    fold_all(model)
    assert merge_pairs(model, noise(2, 3, 9, 9)) == []


class Forked(nn.Module):
    """The convolution's output goes to the BatchNorm and to something else too."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.other = other

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        result: Tensor = self.bn(x) + self.other(x)
        return result


class Twice(nn.Module):
    """One convolution, called twice, with a BatchNorm after each call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first = nn.BatchNorm2d(3)
        self.second = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.conv(self.first(self.conv(x))))
        return result


@pytest.mark.parametrize(
    "make",
    [
        lambda: Forked(nn.Identity()),
        lambda: Forked(nn.Conv2d(4, 4, 1)),
        lambda: Forked(nn.BatchNorm2d(4)),
        Twice,
    ],
    ids=["identity", "convolution", "second batch norm", "convolution used twice"],
)
def test_a_convolution_with_two_uses_is_not_merged(make: Callable[[], nn.Module]) -> None:
    model = network(make())
    inputs = noise(2, 3, 9, 9)
    before = model(inputs)
    fold_all(model)
    pairs = merge_pairs(model, inputs)
    assert not [pair for pair in pairs if pair[0] == "0.conv"]
    merge(model, pairs)
    assert moved(before, model(inputs)) < RELATIVE


@pytest.mark.parametrize("size", [16, 9])
def test_looking_for_pairs_leaves_no_trace(size: int) -> None:
    model: Any = network(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(784, 2))
    fold_all(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    if size == 16:
        merge_pairs(model, noise(1, 3, size, size))
    else:
        with pytest.raises(RuntimeError):  # the example does not fit the network
            merge_pairs(model, noise(1, 3, size, size))
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


# The merged copy.


class Skipped(nn.Module):
    """The convolution's output goes past the BatchNorm as well, into no module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        result: Tensor = self.bn(x) + x
        return result


@pytest.mark.parametrize(
    "make",
    [
        lambda: tiny.block(3, 8),
        lambda: nn.BatchNorm2d(3),
        lambda: nn.Sequential(nn.ReLU(inplace=True), tiny.block(3, 8)),
        lambda: nn.Sequential(nn.BatchNorm2d(3), tiny.block(3, 8)),
        lambda: Forked(nn.Identity()),
        lambda: nn.Conv2d(3, 4, 3),
        Twice,
        Skipped,
    ],
    ids=["block", "batch norm", "in place", "two", "forked", "none", "twice", "skipped"],
)
@pytest.mark.parametrize("training", [False, True])
def test_a_merged_copy_computes_what_the_module_does_in_evaluation_mode(
    make: Callable[[], nn.Module], *, training: bool
) -> None:
    model = seen_data(make())
    inputs = noise(4, 3, 9, 9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(inputs.clone())
        model.train(training)
        example = inputs[:1].clone()
        copied, output = merged_copy(model, example)
        assert torch.equal(example, inputs[:1])
        assert moved(expected[:1], output) < RELATIVE
        assert moved(expected, copied(inputs.clone())) < RELATIVE
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training == training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in copied.parameters())


def test_a_merged_copy_has_no_batch_norm_left_nor_its_affine_map() -> None:
    copied, _ = merged_copy(network(tiny.block(3, 8), tiny.block(8, 8)), noise(1, 3, 9, 9))
    kinds = [type(module) for module in copied.modules() if not list(module.children())]
    assert kinds == [nn.Conv2d, nn.Identity, nn.ReLU] * 2


def test_a_pair_is_not_merged_if_merging_would_change_the_output() -> None:
    copied, _ = merged_copy(seen_data(Skipped()), noise(1, 3, 9, 9))
    assert [type(module) for module in copied.children()] == [Skipped]
    assert any(isinstance(module, nn.BatchNorm2d) for module in copied.modules())
