from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from thaw.model.classifier import Classifier, Lower, Upper, evenly
from thaw.model.freeze_plan import apply, last_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

CUTS = range(4)  # tiny.classifier has three blocks


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def state(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_does_not_change_the_logits(cut: int) -> None:
    model = tiny.classifier()
    with torch.no_grad():
        assert torch.equal(
            model.forward_from(model.activations(images(), cut), cut), model(images())
        )


@pytest.mark.parametrize("cut", CUTS)
def test_lower_and_upper_make_the_whole(cut: int) -> None:
    model = tiny.classifier()
    with torch.no_grad():
        made = Upper(model, cut)(Lower(model, cut)(images()))
        same = model.merged(cut, 0, images()[:1])(images())
        assert torch.equal(made, same)
        torch.testing.assert_close(made, model(images()), rtol=1e-5, atol=1e-6)


def test_what_is_below_a_cut_runs_merged_and_the_classifier_stays_as_it_is() -> None:
    model = tiny.classifier()
    before = state(model)
    merged = model.merged(2, 1, model.blocks[0](images()[:1]))
    assert [len(batch_norms(block)) for block in merged.blocks] == [1, 0, 1]
    assert merged.blocks[0] is model.blocks[0]
    assert merged.blocks[2] is model.blocks[2]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("first", ["inference", "bf16"])
def test_what_is_merged_at_a_first_call_serves_every_later_one(first: str) -> None:
    model = tiny.classifier()
    apply(model, last_blocks(1, 3))
    lower, upper = Lower(model, 2), Upper(model, 2)
    with torch.inference_mode() if first == "inference" else torch.autocast("cpu"):
        lower(images())
    upper(lower(images())).sum().backward()
    assert all(
        p.grad is not None for p in (*model.blocks[2].parameters(), *model.head.parameters())
    )
    with torch.no_grad():
        assert torch.equal(lower(images()), Lower(model, 2)(images()))


@pytest.mark.parametrize(
    ("cut", "shape"), [(0, (4, 3, 16, 16)), (1, (4, 8, 8, 8)), (2, (4, 8, 8, 8)), (3, (4, 16))]
)
def test_activations_are_maps_below_the_last_cut_and_pooled_features_at_it(
    cut: int, shape: tuple[int, ...]
) -> None:
    assert tiny.classifier().activations(images(), cut).shape == shape


WAKERS: dict[str, Callable[[Classifier], nn.Module]] = {
    "the model": lambda model: model.train(),
    "the part above a cut": lambda model: Upper(model, 1).train(),
    "the part below a cut": lambda model: Lower(model, 3).train(),
    "a wrapper, as a library makes one": lambda model: nn.Sequential(nn.Sequential(model)).train(),
    "evaluation and back": lambda model: model.eval().train(),
}


@pytest.mark.parametrize("waker", WAKERS.values(), ids=list(WAKERS))
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_train_called_by_anybody_does_not_wake_a_frozen_block(
    waker: Callable[[Classifier], nn.Module], depth: int
) -> None:
    model = tiny.classifier()
    cut = 3 - depth
    apply(model, last_blocks(depth, 3, "train"))
    frozen = model.blocks[:cut]
    before = state(frozen)
    with torch.no_grad():
        expected = model.activations(images(), cut)
        waker(model)
        model(images() * 3 + 1)  # whatever is awake would move its statistics to these
        assert torch.equal(model.activations(images(), cut), expected)
    assert all(torch.equal(value, before[key]) for key, value in frozen.state_dict().items())
    assert not any(module.training for block in frozen for module in block.modules())


def test_train_wakes_what_the_plan_leaves_trainable() -> None:
    model = tiny.classifier()
    apply(model, last_blocks(2, 3, "train"))
    model.train()
    assert [bn.training for bn in batch_norms(model)] == [False, True, True]
    assert model.head.training


def test_train_leaves_frozen_batch_norm_of_trainable_blocks_asleep() -> None:
    model = tiny.classifier()
    apply(model, last_blocks(2, 3, "frozen"))
    model.train()
    assert not any(bn.training for bn in batch_norms(model))
    assert model.blocks[2].training


def test_dropout_of_a_frozen_block_stays_off_and_that_of_the_head_goes_on() -> None:
    model = tiny.classifier(dropout=0.5)
    first = model.blocks[0]
    assert isinstance(first, nn.Sequential)
    first.append(nn.Dropout(0.5))
    apply(model, last_blocks(1, 3))
    model.train()
    modes = [module.training for module in model.modules() if isinstance(module, nn.Dropout)]
    assert modes == [False, True]


def test_evaluation_mode_reaches_everything() -> None:
    model = tiny.classifier()
    apply(model, last_blocks(2, 3, "train"))
    model.train().eval()
    assert not any(module.training for module in model.modules())


def test_without_a_plan_everything_wakes() -> None:
    model = tiny.classifier().train()
    assert all(module.training for module in model.modules())


def test_train_returns_the_model_itself() -> None:
    model = tiny.classifier()
    assert model.train() is model
    assert model.eval() is model


@pytest.mark.parametrize("taps", [(), (2, 3)])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_what_is_frozen_is_the_same_to_the_bit_in_a_batch_of_any_size(
    cut: int, taps: tuple[int, ...]
) -> None:
    tiny_model = tiny.classifier()
    model = Classifier(tiny_model.blocks, tiny_model.pool, nn.Identity(), taps).eval()
    plan = last_blocks(3 - cut, 3)
    apply(model, plan)
    frozen = model.readable(cut)
    some = images(40)
    with torch.no_grad():
        whole = Lower(model, frozen)(some)
        for start, end in ((0, 16), (16, 27), (27, 40), (39, 40)):
            part = Lower(model, frozen)(some[start:end])
            assert torch.equal(part, whole[start:end])


def test_filling_up_a_batch_leaves_no_trace() -> None:
    inputs = images(3)
    seen = []

    def doubled(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return batch * 2

    assert torch.equal(evenly(doubled, inputs), inputs * 2)
    assert torch.equal(evenly(doubled, images(32)), images(32) * 2)
    assert seen == [16, 32]
