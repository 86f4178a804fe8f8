from __future__ import annotations

from typing import TYPE_CHECKING

from tests.training import phase
from thaw.training import loop
from thaw.training.checkpoints import Checkpoints
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.training.history import EpochRow


def train(folder: Path, observer: Observer) -> list[EpochRow]:
    """Train one epoch with a checkpoint after each step; return the history."""
    runtime = start(phase.launch(1), phase.resources(1e-9))
    inputs = PhaseInputs(phase.images(folder / "train"), phase.images(folder / "val", 13), 0)
    setup = TrainingSetup(phase.config(epochs=1), phase.PLAIN.regularize, phase.SEED)
    return loop.fit(runtime, phase.model(), inputs, setup, observer).history


def test_an_observer_without_checkpoints_saves_nothing(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    assert len(train(tmp_path, Observer())) == 2
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {"train", "val"}


def test_an_observer_gets_every_row_and_its_checkpoints_are_written(tmp_path: Path) -> None:
    rows: list[EpochRow] = []
    checkpoints = Checkpoints(tmp_path / "checkpoints", "key")
    history = train(tmp_path, Observer(checkpoints, rows.append))
    assert rows == history
    assert checkpoints.latest() is not None
