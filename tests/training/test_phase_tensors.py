from __future__ import annotations

import pytest
import torch

from tests.training import phase
from tests.training.test_learner import batch
from tests.training.test_optimizer_step import learner
from thaw.training import trainable_state
from thaw.training.phase_tensors import phase_tensors, restore_phase
from thaw.training.weight_average import WeightAverage


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_restored_phase_takes_the_same_next_step(precision: str) -> None:
    ends = []
    saved: dict[str, torch.Tensor] = {}
    for resumes in (False, True):
        model = phase.model(3, "train")
        made = learner("adamw", precision, model=model)
        assert model.plan is not None
        average = WeightAverage(trainable_state.state(model, model.plan), 0.9)
        if resumes:
            best = restore_phase(saved, model, made, average)
            assert best["head.bias"].tolist() == [1.0, 2.0, 3.0]
        else:
            made.learn(batch(), 1, 0, 0)
            average.update(trainable_state.state(model, model.plan), 0)
            best = {"head.bias": torch.tensor([1.0, 2.0, 3.0])}
            tensors = phase_tensors(model, model.plan, made, average, best)
            saved = {key: value.detach().clone() for key, value in tensors.items()}
        made.learn(batch(), 1, 1, 1)
        ends.append(phase.state(model) | {f"average.{k}": v for k, v in average.values.items()})
    assert phase.differing(*ends) == []
