"""Models of stages that wrote to no MLflow run, until `evaluate` records them.

A stage without epochs of training does not open the MLflow store: it has no curve to show, and
MLflow takes longer to start than such a stage to compute. The stage writes the digest of its model
to ``.thaw/`` instead, so that `evaluate` can tell this model from one of DVC's cache.
"""

from __future__ import annotations

from thaw.system import project_paths
from thaw.system.files import write_whole

_FOLDER = project_paths.SCRATCH / "untracked"


def write(stage: str, digest: str) -> None:
    """Record that ``stage`` computed the model with ``digest``, in place of an earlier record."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    write_whole(_FOLDER / stage, digest.encode())


def read(stage: str) -> str | None:
    """Return the digest of the model that ``stage`` computed untracked; None without a record."""
    try:
        return (_FOLDER / stage).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def remove(stage: str) -> None:
    """Remove the record of ``stage``: an MLflow run has its model now."""
    (_FOLDER / stage).unlink(missing_ok=True)
