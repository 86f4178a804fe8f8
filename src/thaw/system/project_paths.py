"""Where the stages meet: the files of the pipeline, relative to the project's folder."""

from __future__ import annotations

from pathlib import Path

PREPARED = Path("data/prepared")
MODELS = Path("models")
REPORTS = Path("reports")
SCRATCH = Path(".thaw")
HISTORY = "history.csv"
REPORT = "report.json"
