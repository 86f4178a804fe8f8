"""The number of blocks whose training is in a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.evaluation import stage_reports
from thaw.system.project_paths import REPORT

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.model.spec import ModelSpec

_STAGES = ("unfreeze", "fold_bn")  # that train blocks


def count_trained(spec: ModelSpec, reports: Path) -> int:
    """Return how many blocks differ from the backbone: 0 if no stage kept an epoch.

    ``reports`` is the folder of the reports of all stages. Blocks that were trained without
    success are in ``spec.trained`` as well, because ``fold_bn`` trains the same ones.
    """
    if not any(_keeps_an_epoch(reports / stage / REPORT) for stage in _STAGES):
        return 0
    return len(spec.trained)


def _keeps_an_epoch(path: Path) -> bool:
    """Return whether a stage kept an epoch; a missing or older report does not deny it."""
    try:
        content = stage_reports.read(path)
    except (OSError, ThawError):
        return True
    return bool(content.get("best_epoch", 1))
