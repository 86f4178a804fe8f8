from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.gpu.training_speed import _Clock, _decision, _EnoughError
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from pathlib import Path


def test_a_training_that_believes_in_more_epochs_ends_after_those_that_are_measured() -> None:
    clock = _Clock(epochs=2)
    for epoch in range(2):
        clock.note(EpochRow(epoch, None, 1.0, 0.5, 0.1))
    with pytest.raises(_EnoughError):
        clock.note(EpochRow(2, None, 1.0, 0.5, 0.1))
    assert len(clock.marks) == 3


def test_the_table_says_what_compile_auto_decided(tmp_path: Path) -> None:
    assert _decision(tmp_path).startswith("off, ")
    (tmp_path / "choices.json").write_text(json.dumps({"parts": 1, "compiled": True}))
    assert _decision(tmp_path) == "on, decided for 1000 epochs"
