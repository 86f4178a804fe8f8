"""The origin of a version: what it and its run record, and what this project has now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

from thaw.registry import names
from thaw.registry.aliases import is_missing
from thaw.system import dvc_lock, project_paths, provenance
from thaw.tracking.run_identity import COMMIT, DIRTY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.data.prepared import Prepared


@dataclass(frozen=True)
class Origin:
    """Recorded digests of a version, and the digests of this project (``*_here``).

    None or "" if a value is unknown. ``prepared_locked`` is the digest of ``data/prepared`` in
    ``dvc.lock``, ``prepared_here`` that of the files in it. ``model_locked`` holds the digests of
    the files of the model in ``dvc.lock``, by name; it is empty if they are not listed there.
    ``deleted_run`` is the id of a run in MLflow's trash, whose records do not count.
    """

    tagged_digest: str
    commit: str
    dirty: str
    data_digest: str
    lock_digest: str
    data_here: str
    lock_here: str | None
    test_digest: str
    test_here: str
    prepared_locked: str
    prepared_here: str
    model_locked: Mapping[str, str] = field(default_factory=dict)
    deleted_run: str = ""


def read_origin(
    client: MlflowClient, entry: ModelVersion, data: Prepared, prepared: Path, *, read_files: bool
) -> Origin:
    """Return the origin of the version ``entry``.

    ``prepared`` is the folder of ``data``. ``read_files`` also computes its digest, which reads all
    of its files.
    """
    run = _run(client, entry.run_id)
    tags = run.data.tags if run is not None else {}
    return Origin(
        tagged_digest=entry.tags.get(names.DIGEST, ""),
        commit=tags.get(COMMIT, ""),
        dirty=tags.get(DIRTY, ""),
        data_digest=tags.get("thaw.data_digest", ""),
        lock_digest=tags.get("thaw.dvc_lock", ""),
        data_here=data.manifest.digest,
        lock_here=_lock_here(tags.get("thaw.dvc_lock", "")),
        test_digest=entry.tags.get(names.TEST_DIGEST, ""),
        test_here=data.split_digest("test"),
        prepared_locked=dvc_lock.recorded_md5(prepared) if read_files else "",
        prepared_here=dvc_lock.folder_md5(prepared) if read_files else "",
        model_locked=dvc_lock.recorded_files(project_paths.DEPLOYED) if read_files else {},
        deleted_run=_deleted_run(run),
    )


def _deleted_run(run: Run | None) -> str:
    """Return the id of ``run`` if it is in MLflow's trash, else ""."""
    if run is None or run.info.lifecycle_stage != LifecycleStage.DELETED:
        return ""
    return str(run.info.run_id)


def _lock_here(recorded: str) -> str | None:
    """Return the digest of ``dvc.lock``, in the earlier form if the run ``recorded`` that."""
    earlier = provenance.earlier_lock_digest()
    return earlier if earlier == recorded else provenance.lock_digest()


def _run(client: MlflowClient, run_id: str | None) -> Run | None:
    """Return a run, None if there is no such run.

    Raises:
        MlflowException: the store failed, which says nothing about the run.
    """
    try:
        return client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if not is_missing(error) and error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        return None
