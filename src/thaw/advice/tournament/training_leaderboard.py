"""The leaderboard of short trainings: how well each does, and what it costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from thaw.advice.tournament.comparison import estimate, paired_difference
from thaw.system.csv_text import csv_text
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thaw.advice.tournament.fold_training import FoldResult


@dataclass(frozen=True)
class TrainingRow:
    """A line of the leaderboard of trainings; errors are standard errors.

    ``difference`` is the paired difference of the log-loss to the head alone, in nats, and
    ``to_chosen`` that to the chosen candidate. Each has the calibration that it would keep.
    """

    candidate: str
    epochs: int
    log_loss: float
    log_loss_error: float
    accuracy: float
    accuracy_error: float
    difference: float
    difference_error: float
    to_chosen: float
    to_chosen_error: float
    seconds: float
    chosen: bool


def training_row(result: FoldResult, base: FoldResult, winner: FoldResult) -> TrainingRow:
    """Return the row of ``result``; ``base`` is that of the head alone."""
    loss, accuracy = estimate(result.losses), estimate(result.right)
    difference = paired_difference(result.losses, base.losses)
    to_chosen = paired_difference(result.losses, winner.losses)
    return TrainingRow(
        result.candidate.name,
        result.epochs,
        *loss.rounded(),
        *accuracy.rounded(),
        *difference.rounded(),
        *to_chosen.rounded(),
        round(result.seconds, 2),
        result is winner,
    )


def write_leaderboard(rows: Sequence[TrainingRow], folder: Path) -> None:
    """Write ``leaderboard.csv`` into the report ``folder``; without rows, the names of columns."""
    names: list[object] = [field.name for field in fields(TrainingRow)]
    lines = [names, *(list(asdict(row).values()) for row in rows)]
    write_whole(folder / "leaderboard.csv", csv_text(lines).encode())
