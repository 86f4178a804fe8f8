from __future__ import annotations

import torch

from tests.training import phase
from thaw.model.freeze_plan import last_blocks
from thaw.training import trainable_state


def test_the_state_of_a_plan_is_its_blocks_and_the_head() -> None:
    model = phase.model(3, "train")
    found = trainable_state.state(model, last_blocks(1, 3))
    names = [name for name in model.state_dict() if name.startswith(("blocks.2.", "head."))]
    assert sorted(found) == sorted(names)
    assert found["blocks.2.1.running_mean"].data_ptr() == (
        model.get_buffer("blocks.2.1.running_mean").data_ptr()
    )


def test_a_copy_does_not_change_with_the_classifier_and_can_be_loaded_again() -> None:
    model, plan = phase.model(3, "train"), last_blocks(1, 3)
    kept = trainable_state.copy(trainable_state.state(model, plan))
    before = phase.state(model)
    with torch.no_grad():
        for tensor in trainable_state.state(model, plan).values():
            tensor.add_(1)
    trainable_state.load(model, kept)
    assert phase.differing(before, phase.state(model)) == []
