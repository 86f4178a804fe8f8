from __future__ import annotations

import pytest

from tests import settings
from thaw.config import backbone_weights
from thaw.config.parameter_values import with_values

LITE0 = "timm/tf_efficientnet_lite0"
BOTH = {"search.space": {"backbone.name": [LITE0, "timm/resnet18"]}}


def test_another_backbone_than_the_packaged_one_gets_the_weights_of_its_library() -> None:
    params = with_values(settings.PARAMS, BOTH)
    assert backbone_weights.names(params) == [LITE0, "timm/resnet18"]
    same = backbone_weights.trial_params(params, {"backbone.name": LITE0, "unfreeze.lr": 0.5})
    other = backbone_weights.trial_params(params, {"backbone.name": "timm/resnet18"})
    assert (same.backbone.weights, same.unfreeze.lr) == ("packaged", 0.5)
    assert (other.backbone.name, other.backbone.weights) == ("timm/resnet18", "pretrained")


def test_weights_that_are_not_packaged_hold_for_all_backbones() -> None:
    params = with_values(settings.PARAMS, BOTH | {"backbone.weights": "none"})
    values = {"backbone.name": "timm/resnet18"}
    assert backbone_weights.complete(params, values) == values
    assert backbone_weights.problem(params) == ""


@pytest.mark.parametrize("weights", ["models:/classifier@champion", "weights.safetensors"])
def test_weights_of_one_network_are_a_problem_of_several_backbones_only(weights: str) -> None:
    params = with_values(settings.PARAMS, {"backbone.weights": weights})
    assert backbone_weights.problem(params) == ""
    both = with_values(params, BOTH)
    assert f"backbone.weights is {weights}, " in backbone_weights.problem(both)
