"""The observer of a training phase: its checkpoints and a callback for each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thaw.training.checkpoints import Checkpoints
    from thaw.training.history import EpochRow


def ignore_epoch(row: EpochRow) -> None:
    """Do nothing with the row of an epoch."""


@dataclass(frozen=True)
class Observer:
    """The checkpoints in which a phase saves its state, and the callback for each epoch.

    Without ``checkpoints`` nothing is saved and nothing is resumed. ``choices`` is the file of
    measured choices, written before the first step. ``on_epoch`` is called in every process; an
    exception that it raises ends the phase.
    """

    checkpoints: Checkpoints | None = None
    on_epoch: Callable[[EpochRow], None] = ignore_epoch
    choices: Path | None = None
