"""Reports of earlier versions, which DVC compared as metrics and git kept.

Now DVC compares ``reports/evaluate/metrics.json`` alone, and keeps the other reports in its cache.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thaw.system.files import write_json
from thaw.system.locked_stages import read_stages
from thaw.system.project_paths import METRICS, REPORT, REPORTS
from thaw.system.stage_names import TRAINING_STAGES

if TYPE_CHECKING:
    from pathlib import Path

_METRICS, _REPORT = REPORTS / "evaluate" / METRICS, REPORTS / "evaluate" / REPORT


def missing_report() -> Path | None:
    """Return the path of report.json if only metrics.json exists and DVC keeps no report.

    In a clone, the report that ``dvc.lock`` names is in DVC's cache or remote storage, or ``dvc
    repro`` computes it.

    Raises:
        ThawError: ``dvc.lock`` is damaged.
    """
    if not _METRICS.exists() or _REPORT.exists():
        return None
    outputs = read_stages().get("evaluate", {}).get("outs", [])
    return None if any(out["path"] == _REPORT.as_posix() for out in outputs) else _REPORT


def write_missing_report() -> None:
    """Copy all of metrics.json into report.json; keep only the test scores in metrics.json.

    Nothing is done if :func:`missing_report` finds none. A damaged file is left as it is.
    """
    if missing_report() is None:
        return
    with suppress(OSError, ValueError, LookupError, TypeError):  # `dvc repro` writes both again
        content: dict[str, Any] = json.loads(_METRICS.read_text(encoding="utf-8"))
        write_json(_METRICS, {"test": content["test"]})
        write_json(_REPORT, content)


def remove_reports_from_git() -> None:
    """Remove reports from git's index, because DVC takes no file into its cache that git keeps.

    The files stay.
    """
    paths = [str(REPORTS / stage / REPORT) for stage in TRAINING_STAGES]
    command = ["git", "rm", "--cached", "--quiet", "--ignore-unmatch", "--", *paths]
    with suppress(OSError):  # there is no git: nothing is kept in it
        subprocess.run(command, capture_output=True)
