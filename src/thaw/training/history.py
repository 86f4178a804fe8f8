"""The history of a training phase, ``history.csv``: one row for each epoch."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """The results of one epoch; epoch 0 is the model that the phase starts from.

    Losses are mean cross-entropies in nats. ``train_loss`` is the optimised loss, measured during
    the epoch while the weights change (None at epoch 0). ``lr`` is the learning rate of the head at
    the last step of the epoch.
    """

    epoch: int
    train_loss: float | None
    val_loss: float
    val_accuracy: float
    lr: float


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as CSV; an empty cell is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read(path: Path) -> list[Row]:
    """Read what :func:`write` wrote."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            Row(
                epoch=int(row["epoch"]),
                train_loss=float(row["train_loss"]) if row["train_loss"] else None,
                val_loss=float(row["val_loss"]),
                val_accuracy=float(row["val_accuracy"]),
                lr=float(row["lr"]),
            )
            for row in csv.DictReader(stream)
        ]
