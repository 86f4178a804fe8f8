"""Paths of the pipeline's files, relative to the folder of the project."""

from __future__ import annotations

from pathlib import Path

PREPARED = Path("data/prepared")
MODELS = Path("models")
REPORTS = Path("reports")
SCRATCH = Path(".thaw")
SPOOL = SCRATCH / "spool"
PROBE = SCRATCH / "probe.json"  # the measurements of `thaw probe`
HISTORY = "history.csv"
REPORT = "report.json"
METRICS = "metrics.json"  # the scores that `dvc metrics` and `dvc exp show` compare
