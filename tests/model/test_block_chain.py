from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from thaw.model import block_chain
from thaw.model.block_chain import Chain, CutError

if TYPE_CHECKING:
    from thaw.model.classifier import Layout


def chain() -> Chain:
    steps = [nn.ReLU(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3)]
    return Chain(steps, block_chain.average_pool(), nn.Linear(5, 2))


def network(parts: Chain) -> nn.Module:
    return nn.Sequential(*parts.steps, parts.pool, parts.last)


def test_a_block_begins_at_each_step_with_weight_matrices() -> None:
    made = chain()
    first, second = block_chain.blocks(made)
    assert isinstance(first, nn.Sequential)
    assert list(first) == made.steps[:4]
    assert second is made.steps[4]


def test_a_chain_without_weights_below_its_classifier_is_refused() -> None:
    with pytest.raises(CutError, match="no layers with weights"):
        block_chain.blocks(Chain([nn.ReLU()], nn.Flatten(1), nn.Linear(3, 2)))


def test_the_check_of_a_cut_accepts_parts_that_compute_the_same_logits() -> None:
    made = chain()
    block_chain.check_cut(network(made), made, block_chain.blocks(made), 8)


def test_the_check_of_a_cut_refuses_parts_that_compute_other_logits() -> None:
    made = chain()
    with pytest.raises(CutError, match="other logits"):
        block_chain.check_cut(network(chain()), made, block_chain.blocks(made), 8)


def test_the_check_of_a_cut_refuses_parts_in_the_wrong_order() -> None:
    made = chain()
    with pytest.raises(CutError, match="do not run one after the other"):
        block_chain.check_cut(network(made), made, block_chain.blocks(made)[::-1], 8)


def test_the_check_of_a_cut_refuses_outputs_of_another_layout() -> None:
    made = Chain([nn.Flatten(1), nn.Linear(12, 5)], nn.Flatten(1), nn.Linear(5, 2))
    with pytest.raises(CutError, match="outputs of its blocks are not NCHW"):
        block_chain.check_cut(network(made), made, block_chain.blocks(made), 2)


@pytest.mark.parametrize(
    ("last", "features"), [(nn.Linear(5, 2), 5), (nn.Conv2d(7, 2, 1), 7), (nn.Identity(), 9)]
)
def test_the_number_of_features_is_the_input_width_of_the_classifier(
    last: nn.Module, features: int
) -> None:
    assert Chain([], nn.Identity(), last, width=9).features == features


def test_a_classifier_of_several_layers_has_no_number_of_features() -> None:
    with pytest.raises(CutError, match="not one linear layer"):
        _ = Chain([], nn.Identity(), nn.Sequential(nn.Linear(5, 2))).features


@pytest.mark.parametrize(
    ("layout", "shape"), [("NCHW", (2, 5, 1, 1)), ("NHWC", (2, 1, 1, 5)), ("NLC", (2, 1, 5))]
)
def test_features_become_one_pixel_or_token(layout: Layout, shape: tuple[int, ...]) -> None:
    features = torch.randn(2, 5)
    shaped = block_chain.as_layout(features, layout)
    assert shaped.shape == shape
    assert torch.equal(shaped.flatten(1), features)


def test_a_linear_step_flattens_a_map_to_one_pixel() -> None:
    linear, images = nn.Linear(12, 5), torch.randn(2, 3, 2, 2)
    found = block_chain.LinearStep(linear)(images)
    assert torch.equal(found[:, :, 0, 0], linear(images.flatten(1)))


def test_dropped_parts_are_left_out_of_a_copy_that_shares_the_other_parts() -> None:
    made = network(chain())
    dropped = made[1]  # type: ignore[index]
    copied = block_chain.without(made, [dropped])
    assert not list(copied[1].parameters())  # type: ignore[index]
    assert copied[4] is not made[4]  # type: ignore[index]
    assert copied[4].weight is made[4].weight  # type: ignore[index]
    assert made[1] is dropped  # type: ignore[index]
