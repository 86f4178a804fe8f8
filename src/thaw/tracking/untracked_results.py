"""Models of stages that wrote to no MLflow run, until `evaluate` records them.

A stage without epochs of training does not open the MLflow store: it has no curve to show, and
MLflow takes longer to start than such a stage to compute. It leaves a note in ``.thaw/`` instead,
so that `evaluate` can tell its model from one that DVC took from its cache.
"""

from __future__ import annotations

from thaw.system import project_paths
from thaw.system.files import write_whole

_FOLDER = project_paths.SCRATCH / "untracked"


def note(stage: str, digest: str) -> None:
    """Note that ``stage`` computed the model with ``digest``, in place of an earlier note."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    write_whole(_FOLDER / stage, digest.encode())


def noted(stage: str) -> str | None:
    """Return the digest of the model that ``stage`` computed untracked; None without a note."""
    try:
        return (_FOLDER / stage).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def forget(stage: str) -> None:
    """Remove the note of ``stage``: its model is recorded in an MLflow run."""
    (_FOLDER / stage).unlink(missing_ok=True)
