from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.search import project
from thaw.config.parameter_values import with_values

if TYPE_CHECKING:
    from thaw.config.params import Params


@pytest.mark.parametrize(
    ("changes", "trained"),
    [({"depth": 1}, 1), ({"depth": 0}, 0), ({"depth": "auto"}, None), ({"blocks": [2]}, None)],
)
def test_copies_share_exactly_the_blocks_that_stay_frozen(
    params: Params, changes: dict[str, Any], trained: int | None
) -> None:
    unfreeze = params.unfreeze.model_copy(update=changes)
    params = params.model_copy(update={"unfreeze": unfreeze})
    backbones = project.opened(params).backbones
    one, other = backbones.new_classifier(params), backbones.new_classifier(params)
    frozen = 0 if trained is None else len(one.blocks) - trained
    same = [left is right for left, right in zip(one.blocks, other.blocks, strict=True)]
    assert same == [index < frozen for index in range(len(same))]
    assert one.head is not other.head


def test_the_backbone_is_loaded_once_for_each_setting_of_the_taps(params: Params) -> None:
    backbones = project.opened(params).backbones
    first, _ = backbones.original(params)
    assert backbones.original(with_values(params, {"head.hidden": [8]}))[0] is first
    assert backbones.original(with_values(params, {"head.taps": [1]}))[0] is not first


def test_each_backbone_is_loaded_once_with_its_own_preprocessing(params: Params) -> None:
    backbones = project.opened(params).backbones
    other = with_values(params, {"backbone.name": "timm/resnet10t"})
    lenet, resnet = backbones.original(params), backbones.original(other)
    assert len(lenet[0].blocks) != len(resnet[0].blocks)
    assert lenet[1].preprocessing.mean != resnet[1].preprocessing.mean
    assert backbones.original(other)[0] is resnet[0]
