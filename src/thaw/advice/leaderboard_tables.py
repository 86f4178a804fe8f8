"""Tables of the leaderboards, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from thaw.advice.tournament.leaderboard import shown_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.advice.tournament.leaderboard import Row
    from thaw.advice.tournament.training_choice import TrainingChoice, TrainingRow

_SHOWN = 15


def head_table(rows: Sequence[Row], images: int) -> Table:
    """Return the best rows, with the chosen one; ``images`` were compared."""
    table = Table(title="Heads on frozen features, cross-validated; log-loss in nats")
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
            f"{shown_loss(row.log_loss, images)} ± {row.log_loss_error:.3f}",
            f"{row.accuracy:.3f} ± {row.accuracy_error:.3f}",
            "" if row.chosen else f"{row.difference:+.3f} ± {row.difference_error:.3f}",
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
    table = Table(title="Short trainings against the head alone, on one fold; log-loss in nats")
    table.add_column("")
    table.add_column("training")
    for name in ("epochs", "log-loss", "accuracy", "to the head alone", "seconds"):
        table.add_column(name, justify="right")
    for row in sorted(rows, key=lambda row: row.log_loss):
        table.add_row(
            "*" if row.chosen else "",
            row.candidate,
            str(row.epochs),
            f"{row.log_loss:.3f}",
            f"{row.accuracy:.3f}",
            f"{row.difference:+.3f} ± {row.difference_error:.3f}" if row.epochs else "",
            f"{row.seconds:.1f}",
        )
    return table
