"""Tables of the leaderboards, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from thaw.advice.tournament.leaderboard import shown_loss
from thaw.metrics.uncertainty import NORMAL_95

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.advice.tournament.leaderboard import Row
    from thaw.advice.tournament.training_choice import TrainingChoice
    from thaw.advice.tournament.training_leaderboard import TrainingRow

_SHOWN = 15
_CAPTION = "±: half of a 95 % interval"


def head_table(rows: Sequence[Row], images: int) -> Table:
    """Return the best rows, with the chosen one; ``images`` were compared."""
    table = Table(
        title="Heads on frozen features, cross-validated; log-loss in nats", caption=_CAPTION
    )
    for name in ("", "input", "blocks", "fit"):
        table.add_column(name)
    for name in ("log-loss", "accuracy", "to the chosen one", "seconds"):
        table.add_column(name, justify="right")
    for row in [row for number, row in enumerate(rows) if number < _SHOWN or row.chosen]:
        crop = f" {row.crop_pct:g}" if row.crop_pct < 1 else ""
        table.add_row(
            "*" if row.chosen else "",
            f"{row.framing}{crop} {row.image_size}",
            row.blocks,
            f"{row.fit} {row.strength:g}",
            f"{shown_loss(row.log_loss, images)} {_interval(row.log_loss_error)}",
            f"{row.accuracy:.3f}",
            "" if row.chosen else _difference(row.difference, row.difference_error),
            f"{row.seconds:.1f}",
        )
    return table


def training_sentence(choice: TrainingChoice) -> str:
    """Return what the short trainings say, as a sentence."""
    if choice.values["depth"] == 0:
        if not any(row.epochs for row in choice.rows):
            return "Train only the head: no training of blocks was compared with it."
        return "Train only the head: no short training of blocks promised a lower loss."
    reason = "was better" if choice.is_better else "is expected to be better after all epochs"
    return f"Fine-tune: {choice.name}. It {reason} than the head alone."


def training_table(rows: Sequence[TrainingRow]) -> Table:
    """Return all short trainings, the lowest log-loss first, with the chosen one."""
    table = Table(
        title="Short trainings against the head alone, on one fold; log-loss in nats",
        caption=_CAPTION,
    )
    table.add_column("")
    table.add_column("training")
    for name in ("epochs", "log-loss", "accuracy", "to the head alone", "to the chosen one"):
        table.add_column(name, justify="right")
    table.add_column("seconds", justify="right")
    for row in sorted(rows, key=lambda row: row.log_loss):
        table.add_row(
            "*" if row.chosen else "",
            row.candidate,
            str(row.epochs),
            f"{row.log_loss:.3f} {_interval(row.log_loss_error)}",
            f"{row.accuracy:.3f}",
            _difference(row.difference, row.difference_error) if row.epochs else "",
            "" if row.chosen else _difference(row.to_chosen, row.to_chosen_error),
            f"{row.seconds:.1f}",
        )
    return table


def _difference(mean: float, error: float) -> str:
    return f"{mean:+.3f} {_interval(error)}"


def _interval(error: float) -> str:
    """Return half of the 95 % interval of a mean with the standard ``error``."""
    return f"± {NORMAL_95 * error:.3f}"
