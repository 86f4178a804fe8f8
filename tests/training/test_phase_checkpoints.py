from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch

from thaw.training.checkpoints import Checkpoints
from thaw.training.epoch_loss import READ_EVERY
from thaw.training.phase_checkpoints import PhaseCheckpoints

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Process:
    """A process; ``says`` is the answer of the first one in sharded training."""

    is_main: bool = True
    shards: bool = False
    rank: int = 0
    world: int = 1
    says: bool = True
    asked: int = 0

    def answer_of_first(self, _: bool) -> bool:
        self.asked += 1
        return self.says

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        return value


def made(process: Any, folder: Path) -> PhaseCheckpoints:
    return PhaseCheckpoints(process, Checkpoints(folder, "key"))


def test_a_checkpoint_is_due_after_the_time_since_the_last_one(tmp_path: Path) -> None:
    checkpoints = made(Process(), tmp_path)
    assert checkpoints.is_due(-1.0, 3)
    assert not checkpoints.is_due(60.0, 3)


@pytest.mark.parametrize("says", [True, False])
def test_in_sharded_training_the_first_process_decides_at_readings_only(
    says: bool, tmp_path: Path
) -> None:
    process = Process(shards=True, world=2, says=says)
    checkpoints = made(process, tmp_path)
    assert not any(checkpoints.is_due(-1.0, step) for step in range(1, READ_EVERY))
    assert process.asked == 0
    assert checkpoints.is_due(60.0, READ_EVERY) is says
    assert checkpoints.is_due(60.0) is says  # at the end of an epoch


@pytest.mark.parametrize(
    ("process", "is_written"),
    [
        (Process(), True),
        (Process(is_main=False, rank=1, world=2), False),
        (Process(is_main=False, rank=1, world=2, shards=True), True),
    ],
)
def test_a_process_writes_what_it_is_there_for(
    process: Process, is_written: bool, tmp_path: Path
) -> None:
    checkpoints = made(process, tmp_path)
    checkpoints.save((1, 0), lambda: {"now.a": torch.ones(1)}, {"epoch": 1})
    assert bool(list(tmp_path.rglob("*.safetensors"))) is is_written


def test_without_a_folder_nothing_is_saved_and_nothing_is_read() -> None:
    process: Any = Process()
    checkpoints = PhaseCheckpoints(process, None)
    checkpoints.save((1, 0), lambda: {"now.a": torch.ones(1)}, {})
    assert checkpoints.latest() is None
