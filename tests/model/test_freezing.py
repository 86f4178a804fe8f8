from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests import tiny
from tests.training import phase
from thaw.model.batchnorm import ChannelAffine
from thaw.model.freeze_plan import Plan, last_blocks
from thaw.model.freezing import apply_plan

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier

POLICIES = phase.POLICIES


def part(name: str) -> str:
    """Return the part of a parameter: ``blocks.1`` of ``blocks.1.0.weight``, or ``head``."""
    pieces = name.split(".")
    return ".".join(pieces[:2]) if pieces[0] == "blocks" else pieces[0]


def is_norm(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d)


def test_a_plan_for_another_number_of_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="plan for 2 blocks, model of 3"):
        apply_plan(tiny.classifier(), last_blocks(1, 2))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "trainable", [set(), {2}, {1, 2}, {0, 1, 2}, {0}, {1}], ids=lambda s: f"{sorted(s)}"
)
def test_exactly_the_planned_blocks_and_the_head_require_gradients(
    trainable: set[int], policy: BatchNormPolicy
) -> None:
    model = tiny.classifier()
    phase.set_plan(model, Plan(frozenset(trainable), 3, policy))
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    planned = {"head", *(f"blocks.{index}" for index in trainable)}
    expected = {name for name, _ in model.named_parameters() if part(name) in planned}
    if policy == "fixed":
        norms = {name for name, _ in model.named_parameters() if is_norm(model, name)}
        assert len(norms) == 6
        expected -= norms
    assert learning == expected


def test_the_policy_affine_is_refused_while_a_block_has_batchnorm() -> None:
    with pytest.raises(ValueError, match="call fold_blocks first"):
        apply_plan(tiny.classifier(), last_blocks(1, 3, "affine"))


def test_a_later_plan_replaces_an_earlier_one() -> None:
    model = tiny.classifier().train()
    phase.set_plan(model, last_blocks(3, 3, "train"))
    phase.set_plan(model, last_blocks(1, 3, "train"))
    learning = {part(name) for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"blocks.2", "head"}
    assert [block.training for block in model.blocks] == [False, False, True]


def test_a_plan_can_be_applied_again_where_its_blocks_are_folded_already() -> None:
    model = phase.model(2, "affine")
    before = phase.state(model)
    phase.set_plan(model, last_blocks(2, 3, "affine"))
    assert phase.differing(before, phase.state(model)) == []


# Frozen means that no bit changes.


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("trainable", [set(), {2}, {1, 2}, {0}], ids=lambda s: f"{sorted(s)}")
def test_training_changes_no_bit_of_a_frozen_block(
    tmp_path: Path, trainable: set[int], policy: BatchNormPolicy
) -> None:
    model = tiny.classifier(dropout=0.2)
    phase.set_plan(model, Plan(frozenset(trainable), 3, policy))
    before = phase.state(model)
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", 13)
    phase.fit(tmp_path, model, sources, phase.config(lr=0.1, weight_decay=0.1))
    changed = phase.differing(before, phase.state(model))
    assert {part(name) for name in changed} == {"head", *(f"blocks.{i}" for i in trainable)}
    trained = [name for name in before if part(name) in {part(name) for name in changed}]
    if policy == "train":
        assert changed == trained  # running statistics and their counts too
    elif policy == "fixed":
        assert changed == [name for name in trained if not is_norm(model, name)]
    else:
        statistics = [name for name in trained if "running" in name or "num_batches" in name]
        assert changed == [name for name in trained if name not in statistics]
        assert bool(statistics) == (policy == "frozen" and bool(trainable))


# The table in Plan's docstring, a real forward and backward pass each; block 1 is looked at.


def inputs(model: Classifier) -> Tensor:
    """Return the inputs of block 1; their statistics differ from the running statistics."""
    images = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 + 1
    with torch.no_grad():
        activations: Tensor = model.part(0, 1)(images)
    return activations


def parts(block: nn.Module) -> tuple[nn.Module, nn.BatchNorm2d]:
    assert isinstance(block, nn.Sequential)
    bn = block[1]
    assert isinstance(bn, nn.BatchNorm2d)
    return block[0], bn


def normalised(block: nn.Module, x: Tensor, *, by_batch: bool) -> Tensor:
    """Compute the expected output of the block independently of its modules."""
    conv, bn = parts(block)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    mapped = conv(x)
    mean = mapped.mean((0, 2, 3)) if by_batch else bn.running_mean
    var = mapped.var((0, 2, 3), unbiased=False) if by_batch else bn.running_var
    mean, var, weight, bias = (v.view(1, -1, 1, 1) for v in (mean, var, bn.weight, bn.bias))
    return F.relu((mapped - mean) / torch.sqrt(var + bn.eps) * weight + bias)


def backward(model: Classifier, x: Tensor) -> None:
    loss = F.cross_entropy(model.part(1)(x), torch.tensor([0, 1, 2, 0, 1, 2]))
    loss.backward()  # type: ignore[no-untyped-call]


def learns(module: nn.Module) -> bool:
    return all(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


@pytest.mark.parametrize(
    ("policy", "batch"), [("train", True), ("frozen", False), ("fixed", False)]
)
def test_batch_norm_of_a_trainable_block_normalises_and_learns_as_its_policy_says(
    policy: BatchNormPolicy, batch: bool
) -> None:
    model = phase.model(2, policy)
    x = inputs(model)
    model.train()
    block = model.blocks[1]
    _, bn = parts(block)
    before = phase.state(bn)
    expected, other = (normalised(block, x, by_batch=by) for by in (batch, not batch))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected, other, rtol=0.05)
    backward(model, x)
    statistics = ["running_mean", "running_var", "num_batches_tracked"]
    assert phase.differing(before, phase.state(bn)) == (statistics if batch else [])
    assert learns(parts(block)[0])
    assert learns(bn) == (policy != "fixed")
    assert [parameter.grad is None for parameter in bn.parameters()] == [policy == "fixed"] * 2


def test_the_affine_policy_replaces_batch_norm_of_trainable_blocks_by_learning_affine_maps() -> (
    None
):
    model = tiny.classifier()
    x = inputs(model)
    expected = normalised(model.blocks[1], x, by_batch=False)
    phase.set_plan(model, last_blocks(2, 3, "affine"))
    model.train()
    kinds = [type(module) for module in model.blocks.modules()]
    assert kinds.count(ChannelAffine) == 2
    assert kinds.count(nn.BatchNorm2d) == 1  # that of the frozen block
    torch.testing.assert_close(model.blocks[1](x), expected, rtol=1e-4, atol=1e-5)
    backward(model, x)
    affine = model.get_submodule("blocks.1.1")
    assert list(affine.buffers()) == []
    assert [name for name, _ in affine.named_parameters()] == ["weight", "bias"]
    assert learns(affine)


def test_the_affine_maps_of_folded_batch_norms_are_fixed_too() -> None:
    model = phase.model(2, "affine")
    phase.set_plan(model, last_blocks(2, 3, "fixed"))
    for block in model.blocks[1:]:
        assert isinstance(block, nn.Sequential)
        grads = [all(p.requires_grad for p in module.parameters()) for module in block[:2]]
        assert grads == [True, False]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_frozen_block_does_not_change_under_any_policy(policy: BatchNormPolicy) -> None:
    model = phase.model(1, policy)
    x = inputs(model)
    model.train()
    block = model.blocks[1]
    before = phase.state(block)
    expected = normalised(block, x, by_batch=False)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)
    backward(model, x)
    assert phase.differing(before, phase.state(block)) == []
    assert all(p.grad is None for p in block.parameters())
