from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from tests import tiny
from tests.model.networks import batch_norms, images, state
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.model.frozen_part import FrozenPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.model.classifier import Classifier

CUTS = range(4)  # tiny.classifier has three blocks


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_does_not_change_the_logits(cut: int) -> None:
    model = tiny.classifier()
    with torch.no_grad():
        assert torch.equal(model.part(cut)(model.part(0, cut)(images())), model(images()))


@pytest.mark.parametrize(
    ("cut", "shape"), [(0, (4, 3, 16, 16)), (1, (4, 8, 8, 8)), (2, (4, 8, 8, 8)), (3, (4, 16))]
)
def test_activations_are_maps_below_the_last_cut_and_pooled_features_at_it(
    cut: int, shape: tuple[int, ...]
) -> None:
    assert tiny.classifier().part(0, cut)(images()).shape == shape


CALLS_OF_TRAIN: dict[str, Callable[[Classifier], nn.Module]] = {
    "the model": lambda model: model.train(),
    "the part above a cut": lambda model: model.part(1).train(),
    "the part below a cut": lambda model: FrozenPart(model.part(0, 3)).train(),
    "a wrapper, as a library makes one": lambda model: nn.Sequential(nn.Sequential(model)).train(),
    "evaluation and back": lambda model: model.eval().train(),
}


@pytest.mark.parametrize("call_of_train", CALLS_OF_TRAIN.values(), ids=list(CALLS_OF_TRAIN))
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_call_of_train_sets_a_frozen_block_to_training_mode(
    call_of_train: Callable[[Classifier], nn.Module], depth: int
) -> None:
    model = tiny.classifier()
    cut = 3 - depth
    apply_plan(model, last_blocks(depth, 3, "train"))
    frozen = model.blocks[:cut]
    before = state(frozen)
    with torch.no_grad():
        expected = model.part(0, cut)(images())
        call_of_train(model)
        model(images() * 3 + 1)  # BatchNorm in training mode would move its statistics to these
        assert torch.equal(model.part(0, cut)(images()), expected)
    assert all(torch.equal(value, before[key]) for key, value in frozen.state_dict().items())
    assert not any(module.training for block in frozen for module in block.modules())


def test_train_sets_the_trainable_blocks_of_the_plan_to_training_mode() -> None:
    model = tiny.classifier()
    apply_plan(model, last_blocks(2, 3, "train"))
    model.train()
    assert [bn.training for bn in batch_norms(model)] == [False, True, True]
    assert model.head.training


def test_train_leaves_frozen_batch_norm_of_trainable_blocks_in_evaluation_mode() -> None:
    model = tiny.classifier()
    apply_plan(model, last_blocks(2, 3, "frozen"))
    model.train()
    assert not any(bn.training for bn in batch_norms(model))
    assert model.blocks[2].training


def test_dropout_of_a_frozen_block_stays_off_and_that_of_the_head_goes_on() -> None:
    model = tiny.classifier(dropout=0.5)
    first = model.blocks[0]
    assert isinstance(first, nn.Sequential)
    first.append(nn.Dropout(0.5))
    apply_plan(model, last_blocks(1, 3))
    model.train()
    modes = [module.training for module in model.modules() if isinstance(module, nn.Dropout)]
    assert modes == [False, True]


def test_eval_sets_every_module_to_evaluation_mode() -> None:
    model = tiny.classifier()
    apply_plan(model, last_blocks(2, 3, "train"))
    model.train().eval()
    assert not any(module.training for module in model.modules())


def test_train_without_a_freeze_plan_sets_every_module_to_training_mode() -> None:
    model = tiny.classifier().train()
    assert all(module.training for module in model.modules())


def test_train_returns_the_model_itself() -> None:
    model = tiny.classifier()
    assert model.train() is model
    assert model.eval() is model


def test_a_part_owns_the_modules_of_the_classifier() -> None:
    model = tiny.classifier()
    part = model.part(1)
    assert list(part.blocks) == list(model.blocks[1:])
    assert part.pool is model.pool
    assert part.head is model.head
    names = {name for name, _ in model.part(0, 2).named_parameters()}
    assert {name.split(".")[0] for name in names} == {"blocks"}


@pytest.mark.parametrize("cut", CUTS)
def test_a_part_of_a_part_is_the_part_of_the_classifier(cut: int) -> None:
    model = tiny.classifier()
    inputs = model.part(0, min(cut, 1))(images())
    with torch.no_grad():
        for end in range(max(cut, 1), 4):
            found = model.part(min(cut, 1), end)(inputs)
            lower, upper = (
                model.part(0, end).part(min(cut, 1), max(cut, 1)),
                model.part(0, end).part(max(cut, 1)),
            )
            assert torch.equal(upper(lower(inputs)), found)


def test_pooled_outputs_of_all_blocks_are_put_side_by_side() -> None:
    model = tiny.classifier()
    with torch.no_grad():
        maps = [model.part(0, cut)(images()) for cut in (1, 2)]
        expected = [*(m.mean((2, 3)) for m in maps), model.part(0, 3)(images())]
        assert torch.equal(model.pooled_blocks()(images()), torch.cat(expected, dim=1))


def test_a_mirrored_classifier_averages_the_logits_of_both_views() -> None:
    model = tiny.classifier()
    images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain, flipped = model(images), model(images.flip(-1))
        assert not torch.allclose(plain, flipped, atol=1e-3)
        model.mirrored = True
        torch.testing.assert_close(model(images), (plain + flipped) / 2)
        torch.testing.assert_close(model(images[:1]), (plain[:1] + flipped[:1]) / 2)
        torch.testing.assert_close(model.part(0)(images), plain)
