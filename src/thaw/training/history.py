"""The history of a training phase, ``history.csv``: one row for each epoch."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from thaw.errors import REPAIR, ThawError
from thaw.system import project_paths
from thaw.system.csv_text import csv_text
from thaw.system.files import write_whole
from thaw.system.stage_names import TRAINING_STAGES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class EpochRow:
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

    def line(self, epochs: int, mark: str = "") -> str:
        """Return the row as a line for the console, in a phase of ``epochs``; ``mark`` ends it."""
        train_loss = "" if self.train_loss is None else f"train loss {self.train_loss:.4f}  "
        line = (
            f"epoch {self.epoch}/{epochs}  {train_loss}val loss {self.val_loss:.4f}  "
            f"val accuracy {self.val_accuracy:.4f}"
        )
        return f"{line}  {mark}" if mark else line


def write(rows: Sequence[EpochRow], path: Path) -> None:
    """Write the rows as CSV; an empty cell is None."""
    names = [field.name for field in fields(EpochRow)]
    write_whole(path, csv_text([names, *map(astuple, rows)]).encode())


def read(path: Path) -> list[EpochRow]:
    """Read what :func:`write` wrote: one row or more.

    Raises:
        ThawError: the file is missing, damaged or cannot be read; the message says what to do.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [_parse(row) for row in csv.DictReader(stream)]
    except FileNotFoundError:
        raise ThawError(f"{path} does not exist: run `dvc repro`") from None
    except OSError as error:
        raise ThawError(
            f"{path} cannot be read: {error.strerror or error}; make it readable for this user, "
            "then run the same command again"
        ) from None
    except (ValueError, LookupError, TypeError, csv.Error):
        raise ThawError(_damage(path)) from None
    if not rows:
        raise ThawError(_damage(path))
    return rows


def read_stages() -> dict[str, list[EpochRow]]:
    """Read the histories of the stages that train, by stage.

    Raises:
        ThawError: one is missing or damaged.
    """
    folder = project_paths.REPORTS
    return {stage: read(folder / stage / project_paths.HISTORY) for stage in TRAINING_STAGES}


def _parse(row: dict[str, str]) -> EpochRow:
    return EpochRow(
        epoch=int(row["epoch"]),
        train_loss=float(row["train_loss"]) if row["train_loss"] else None,
        val_loss=float(row["val_loss"]),
        val_accuracy=float(row["val_accuracy"]),
        lr=float(row["lr"]),
    )


def _damage(path: Path) -> str:
    return f"{path} is damaged; {REPAIR}"
