from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests import tiny
from tests.training import phase
from thaw.training import loop
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def trained(folder: Path, setup: TrainingSetup) -> dict[str, Tensor]:
    """Return the weights after a training with ``setup``."""
    model = phase.model(2)
    inputs = PhaseInputs(phase.images(folder / "train"), phase.images(folder / "val", 13), 0)
    loop.fit(tiny.runtime(), model, inputs, setup, Observer())
    return phase.state(model)


@pytest.mark.parametrize("change", [{"lr_decay": 0.5}, {"gradual_epochs": 1}, {"seed": 4}])
def test_every_setting_of_a_setup_changes_the_training(
    tmp_path: Path, change: dict[str, float]
) -> None:
    setup = TrainingSetup(phase.config(), phase.PLAIN.regularize, phase.SEED)
    before = trained(tmp_path / "before", setup)
    after = trained(tmp_path / "after", dataclasses.replace(setup, **change))  # type: ignore[arg-type]
    assert phase.differing(before, after)


def test_equal_setups_train_to_equal_weights(tmp_path: Path) -> None:
    setup = TrainingSetup(phase.config(), phase.PLAIN.regularize, phase.SEED)
    assert not phase.differing(trained(tmp_path / "a", setup), trained(tmp_path / "b", setup))
