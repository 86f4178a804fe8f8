from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from tests.model.networks import batch_norms, images, state
from thaw.model.classifier import Classifier
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.model.frozen_part import FrozenPart, compute_padded, merged_part

CUTS = range(4)  # tiny.classifier has three blocks


@pytest.mark.parametrize("cut", CUTS)
def test_a_frozen_part_and_the_part_above_it_make_the_whole(cut: int) -> None:
    model = tiny.classifier()
    with torch.no_grad():
        made = model.part(cut)(FrozenPart(model.part(0, cut))(images()))
        copied = merged_part(model.part(0, cut), images()[:1])
        assert torch.equal(made, model.part(cut)(copied(images())))
        torch.testing.assert_close(made, model(images()), rtol=1e-5, atol=1e-6)


def test_a_frozen_part_runs_with_merged_batchnorm_and_leaves_the_classifier_unchanged() -> None:
    model = tiny.classifier()
    before = state(model)
    merged = merged_part(model.part(1, 2), model.blocks[0](images()[:1]))
    assert [len(batch_norms(block)) for block in merged.blocks] == [0]
    assert len(batch_norms(model)) == 3
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("first", ["inference", "bf16"])
def test_the_layers_merged_at_the_first_call_work_in_every_later_call(first: str) -> None:
    model = tiny.classifier()
    apply_plan(model, last_blocks(1, 3))
    lower, upper = FrozenPart(model.part(0, 2)), model.part(2)
    with torch.inference_mode() if first == "inference" else torch.autocast("cpu"):
        lower(images())
    upper(lower(images())).sum().backward()
    assert all(
        p.grad is not None for p in (*model.blocks[2].parameters(), *model.head.parameters())
    )
    with torch.no_grad():
        assert torch.equal(lower(images()), FrozenPart(model.part(0, 2))(images()))


@pytest.mark.parametrize("taps", [(), (2, 3)])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_frozen_activations_are_bitwise_equal_for_every_batch_size(
    cut: int, taps: tuple[int, ...]
) -> None:
    tiny_model = tiny.classifier()
    model = Classifier(tiny_model.blocks, tiny_model.pool, nn.Identity(), taps).eval()
    plan = last_blocks(3 - cut, 3)
    apply_plan(model, plan)
    frozen = model.outline.readable(cut)
    some = images(40)
    with torch.no_grad():
        whole = FrozenPart(model.part(0, frozen))(some)
        for start, end in ((0, 16), (16, 27), (27, 40), (39, 40)):
            part = FrozenPart(model.part(0, frozen))(some[start:end])
            assert torch.equal(part, whole[start:end])


def test_filling_up_a_batch_leaves_no_trace() -> None:
    inputs = images(3)
    seen = []

    def doubled(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return batch * 2

    assert torch.equal(compute_padded(doubled, inputs), inputs * 2)
    assert torch.equal(compute_padded(doubled, images(32)), images(32) * 2)
    assert seen == [16, 32]
