from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests import settings, tiny
from tests.training import phase
from thaw.model.freeze_plan import last_blocks
from thaw.training import trainable_state
from thaw.training.weight_average import WeightAverage

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.model.classifier import Classifier


@pytest.mark.parametrize(("decay", "steps"), [(0.999, 30), (0.5, 30)])
def test_the_average_follows_its_formula(decay: float, steps: int) -> None:
    now = {"weight": torch.zeros(3, dtype=torch.float64), "count": torch.tensor(0)}
    average = WeightAverage(now, decay)
    expected = 0.0
    for step in range(steps):
        now["weight"] += 1.0
        now["count"] += 1
        average.update(now, step)
        rate = min(decay, (1 + step) / (10 + step))
        expected = rate * expected + (1 - rate) * (step + 1)
    assert average.values["weight"].tolist() == pytest.approx([expected] * 3)
    assert int(average.values["count"]) == steps
    assert average.values["count"].dtype == torch.int64


@pytest.mark.parametrize("step", [0, 50, 10**6])
def test_many_tensors_at_once_have_the_bits_of_one_after_the_other(step: int) -> None:
    start = phase.model(3, "train").state_dict()
    now = {name: tensor + tensor.abs() * 3 for name, tensor in start.items()}
    average = WeightAverage(start, 0.999)
    average.update(now, step)
    weight = 1 - min(0.999, (1 + step) / (10 + step))
    for name, mean in average.values.items():
        if mean.is_floating_point():
            assert torch.equal(mean, start[name].lerp(now[name], weight)), name
        else:
            assert torch.equal(mean, now[name]), name


def test_in_place_it_stands_for_the_weights_and_then_they_are_back() -> None:
    model, plan = phase.model(3, "train"), last_blocks(2, 3)
    average = WeightAverage({k: v + 1 for k, v in trainable_state.state(model, plan).items()}, 0.9)
    before = phase.state(model)
    with average.in_place(tiny.runtime(), model, plan):
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, average.values.get(name, before[name]))
        model.to(memory_format=torch.contiguous_format)  # whatever becomes of the tensors
    assert phase.differing(before, phase.state(model)) == []


class Watching(phase.Dying):
    """A source that notes the model before each reading: what the step before made of it."""

    def __init__(self, source: phase.Dying, model: Classifier) -> None:
        super().__init__(source)
        self.model, self.states = model, list[dict[str, "Tensor"]]()

    def read(self, places: NDArray[np.int64]) -> Tensor:
        self.states.append(phase.state(self.model))
        return super().read(places)


def test_the_average_of_weights_and_statistics_is_what_is_scored_and_kept(tmp_path: Path) -> None:
    val = phase.images(tmp_path / "val", phase.VAL)
    training = phase.config(lr=0.03, epochs=3)
    plain, averaged = phase.model(2, "train"), phase.model(2, "train")
    watching = Watching(phase.Dying(phase.images(tmp_path / "train")), plain)
    without = phase.fit(tmp_path / "plain", plain, (watching, val), training)
    settled = settings.regularize(ema=0.7)
    sources = phase.images(tmp_path / "again"), val
    progress = phase.fit(tmp_path / "ema", averaged, sources, training, settled)
    assert without.best_epoch == progress.best_epoch == 3  # so the last weights are in both
    states = [*watching.states[1:], phase.state(plain)]
    average = WeightAverage(watching.states[0], 0.7)
    for step, state in enumerate(states):
        average.update(state, step)
    assert phase.differing(average.values, phase.state(averaged)) == []
    changed = phase.differing(phase.state(plain), phase.state(averaged))
    assert {"blocks.2.1.running_mean", "blocks.2.1.running_var", "head.1.weight"} <= set(changed)
    losses = [[row.val_loss for row in made.history] for made in (without, progress)]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1:] != losses[1][1:]
    trainings = [[row.train_loss for row in made.history] for made in (without, progress)]
    assert trainings[0] == trainings[1]  # the average is only watched
