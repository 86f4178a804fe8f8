from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import tiny
from tests.training import phase
from thaw.model.freeze_plan import Plan
from thaw.model.freezing import apply_plan
from thaw.training.parameter_groups import parameter_groups

if TYPE_CHECKING:
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier


def groups(model: Classifier, **changes: float) -> list[dict[str, Any]]:
    values = {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.01, **changes}
    return parameter_groups(model, **values)


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
