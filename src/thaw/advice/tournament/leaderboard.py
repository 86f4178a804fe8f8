"""The rows of the leaderboard: what was compared, how well it does, and what it costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.advice.tournament.comparison import paired_difference
from thaw.system.csv_text import csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thaw.advice.tournament.candidates import Candidate
    from thaw.advice.tournament.out_of_fold import OutOfFold

_DIGITS = 5


@dataclass(frozen=True)
class Entry:
    """A candidate with its out-of-fold predictions.

    ``step`` names the comparison that it belongs to. ``price`` is the number of pixels of an image
    times the share of the blocks that it passes in use. ``seconds`` were spent to measure it.
    """

    step: str
    candidate: Candidate
    found: OutOfFold
    accuracy: NDArray[np.float64]
    price: float
    seconds: float

    @property
    def losses(self) -> NDArray[np.float64]:
        """Return the calibrated log-loss (N,) of each image in nats."""
        return self.found.losses


@dataclass(frozen=True)
class Row:
    """A line of the leaderboard.

    ``log_loss`` is the mean out-of-fold log-loss after calibration, in nats. Errors are standard
    errors; ``difference`` is the paired difference of the log-loss to the chosen candidate.
    """

    step: str
    framing: str
    image_size: int
    crop_pct: float
    blocks: str
    fit: str
    strength: float
    log_loss: float
    log_loss_error: float
    accuracy: float
    accuracy_error: float
    difference: float
    difference_error: float
    seconds: float
    chosen: bool


def rows(entries: Sequence[Entry], winner: Entry) -> list[Row]:
    """Return a row for each entry, the best first."""
    ordered = sorted(entries, key=lambda entry: float(entry.losses.mean()))
    return [_row(entry, winner) for entry in ordered]


def shown_loss(loss: float, images: int) -> str:
    """Return a calibrated log-loss of so many images for people, with three digits.

    Where all are predicted correctly, a temperature brings it to 0. N images do not show that: by
    Laplace's rule of succession the probability of an error is 1 / (N + 2).
    """
    least = 1 / (images + 2)
    return f"{loss:.3f}" if loss >= least else f"< {least:.3f}"


def leaderboard_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV; without rows, the names of the columns alone."""
    names = [field.name for field in fields(Row)]
    return csv_text([list[Any](names), *(list(asdict(row).values()) for row in rows)])


def _row(entry: Entry, winner: Entry) -> Row:
    candidate, difference = entry.candidate, paired_difference(entry.losses, winner.losses)
    return Row(
        step=entry.step,
        framing=candidate.input.framing,
        image_size=candidate.input.image_size,
        crop_pct=candidate.input.crop_pct,
        blocks=candidate.blocks_name,
        fit=candidate.fit,
        strength=entry.found.strength,
        log_loss=_mean(entry.losses),
        log_loss_error=_error(entry.losses),
        accuracy=_mean(entry.accuracy),
        accuracy_error=_error(entry.accuracy),
        difference=round(difference.mean, _DIGITS),
        difference_error=round(difference.standard_error, _DIGITS),
        seconds=round(entry.seconds, 2),
        chosen=entry is winner,
    )


def _mean(values: NDArray[np.float64]) -> float:
    return round(float(values.mean()), _DIGITS)


def _error(values: NDArray[np.float64]) -> float:
    return round(float(values.std() / np.sqrt(len(values))), _DIGITS)
