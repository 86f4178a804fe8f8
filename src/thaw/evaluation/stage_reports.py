"""The JSON reports of the stages, as they are on the disk, and the epochs that they kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thaw.errors import ThawError
from thaw.system.repeat_command import repeat_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thaw.training.history import EpochRow


def read(path: Path) -> dict[str, Any]:
    """Return the content of the report ``path``, which is in the folder of its stage.

    Raises:
        ThawError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ThawError(_damaged(path, error)) from None
    if not isinstance(content, dict):
        raise ThawError(_damaged(path, "it is no JSON object"))
    return content


def read_if_present(path: Path) -> dict[str, Any]:
    """Return the content as :func:`read` does; empty if there is none, as of earlier versions.

    Raises:
        ThawError: it is damaged.
    """
    return read(path) if path.is_file() else {}


def kept_epoch(rows: Sequence[EpochRow], report: Mapping[str, Any]) -> EpochRow:
    """Return the epoch of ``rows`` whose weights the stage with ``report`` kept.

    It need not have the lowest loss: a stage may leave out the start, or drop all epochs.
    """
    best = report.get("best_epoch")
    return next((row for row in rows if row.epoch == best), min(rows, key=lambda row: row.val_loss))


def _damaged(path: Path, reason: object) -> str:
    return f"{path} is damaged ({reason}): run `{repeat_command(path.parent.name)}`"
