"""Paths of a project's files, relative to the folder of the project."""

from __future__ import annotations

from pathlib import Path

from thaw.system.stage_names import TRAINING_STAGES

PARAMS_FILE = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
DVC_LOCK = Path("dvc.lock")
TOOL_LOCK = Path("thaw.lock")

PREPARED = Path("data/prepared")
MODELS = Path("models")
DEPLOYED = MODELS / TRAINING_STAGES[-1] / "merged"  # the form that is scored and registered
REPORTS = Path("reports")
STORE = Path("mlruns")  # MLflow's database and files, and the studies

SCRATCH = Path(".thaw")
SPOOL = SCRATCH / "spool"
PROBE = SCRATCH / "probe.json"  # the measurements of `thaw probe`
ADVICE = SCRATCH / "advice.json"  # the values of `thaw advise`
ACTIVATIONS = SCRATCH / "activations"
SEARCH = SCRATCH / "search"

# Names of files in the folder of a stage below REPORTS.
HISTORY = "history.csv"
REPORT = "report.json"
METRICS = "metrics.json"  # the scores that `dvc metrics` and `dvc exp show` compare
REGISTERED = "registered.json"  # the version that `evaluate` registered
