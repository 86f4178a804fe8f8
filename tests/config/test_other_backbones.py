from __future__ import annotations

from typing import Any

import pytest

from tests import settings
from thaw.config import other_backbones
from thaw.config.parameter_values import with_values

LITE0 = "timm/tf_efficientnet_lite0"
BOTH = {"search.space": {"backbone.name": [LITE0, "timm/resnet18"]}}


def test_another_backbone_than_the_packaged_one_gets_the_weights_of_its_library() -> None:
    params = with_values(settings.PARAMS, BOTH)
    assert other_backbones.searched_names(params) == [LITE0, "timm/resnet18"]
    same = other_backbones.trial_params(params, {"backbone.name": LITE0, "unfreeze.lr": 0.5})
    other = other_backbones.trial_params(params, {"backbone.name": "timm/resnet18"})
    assert (same.backbone.weights, same.unfreeze.lr) == ("packaged", 0.5)
    assert (other.backbone.name, other.backbone.weights) == ("timm/resnet18", "pretrained")


def test_weights_that_are_not_packaged_hold_for_all_backbones() -> None:
    params = with_values(settings.PARAMS, BOTH | {"backbone.weights": "none"})
    values = {"backbone.name": "timm/resnet18"}
    assert other_backbones.with_weights(params, values) == values
    assert other_backbones.weights_problem(params) == ""


PINNED = {"head.taps": [7, 8], "warmup_head.strength": 0.01, "unfreeze.depth": 8}


@pytest.mark.parametrize(
    ("values", "freed"),
    [
        ({}, {}),
        ({"head.taps": "auto", "unfreeze.depth": "auto"}, {}),
        ({"head.taps": [], "unfreeze.depth": 0}, {}),
        (PINNED, dict.fromkeys(PINNED, "auto")),
        ({"unfreeze.blocks": [1, 2]}, {"unfreeze.depth": "auto", "unfreeze.blocks": []}),
    ],
)
def test_numbers_of_blocks_hold_only_for_their_backbone(
    values: dict[str, Any], freed: dict[str, Any]
) -> None:
    params = with_values(settings.PARAMS, {"unfreeze.depth": 0, **values})
    assert other_backbones.freed_values(params, params.backbone.name) == {}
    assert other_backbones.freed_values(params, "timm/resnet18") == freed


@pytest.mark.parametrize("weights", ["models:/classifier@champion", "weights.safetensors"])
def test_weights_of_one_network_are_a_problem_of_several_backbones_only(weights: str) -> None:
    params = with_values(settings.PARAMS, {"backbone.weights": weights})
    assert other_backbones.weights_problem(params) == ""
    both = with_values(params, BOTH)
    assert f"backbone.weights is {weights}, " in other_backbones.weights_problem(both)
