"""Read the result of the last complete run of the pipeline from its reports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system.project_paths import METRICS, REGISTERED
from thaw.system.repeat_command import repeat_command

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Result:
    """Metrics of the test split (accuracy, log_loss, ...), MLflow run and registered version."""

    metrics: dict[str, float]
    run_id: str
    model_name: str
    version: int

    @property
    def model_uri(self) -> str:
        """Return the URI of the registered version, ``models:/NAME/VERSION``."""
        return f"models:/{self.model_name}/{self.version}"


def read_last_result(folder: Path) -> Result | None:
    """Read the reports of the stage ``evaluate`` in ``folder``; None if it has not run.

    Raises:
        ThawError: a report is damaged.
    """
    paths = (folder / METRICS, folder / REGISTERED)
    if not all(path.is_file() for path in paths):
        return None
    try:
        metrics, registered = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
        return Result(
            metrics=metrics["test"],
            run_id=registered["run_id"],
            model_name=registered["name"],
            version=int(registered["version"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        command = repeat_command("evaluate")
        raise ThawError(f"{folder} is damaged ({error!r}): run `{command}`") from None
