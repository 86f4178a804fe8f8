"""The origin of a version: what it and its run record, and what this project has now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.registry import names
from thaw.system import dvc_lock, provenance

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.data.prepared import Prepared


@dataclass(frozen=True)
class Origin:
    """Recorded digests of a version, and the digests of this project (``*_here``).

    None or "" if a value is unknown. ``prepared_locked`` is the digest of ``data/prepared`` in
    ``dvc.lock``, ``prepared_here`` that of the files in it.
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


def read_origin(
    client: MlflowClient, entry: ModelVersion, data: Prepared, prepared: Path, *, read_files: bool
) -> Origin:
    """Return the origin of the version ``entry``.

    ``prepared`` is the folder of ``data``. ``read_files`` also computes its digest, which reads all
    of its files.
    """
    tags = _run_tags(client, entry.run_id)
    return Origin(
        tagged_digest=entry.tags.get(names.DIGEST, ""),
        commit=tags.get("mlflow.source.git.commit", ""),
        dirty=tags.get("thaw.git_dirty", ""),
        data_digest=tags.get("thaw.data_digest", ""),
        lock_digest=tags.get("thaw.dvc_lock", ""),
        data_here=data.manifest.digest,
        lock_here=provenance.lock_digest(),
        test_digest=entry.tags.get(names.TEST_DIGEST, ""),
        test_here=data.split_digest("test"),
        prepared_locked=dvc_lock.recorded_md5(prepared) if read_files else "",
        prepared_here=dvc_lock.folder_md5(prepared) if read_files else "",
    )


def _run_tags(client: MlflowClient, run_id: str | None) -> dict[str, str]:
    """Return the tags of a run, none if there is no such run."""
    try:
        found: dict[str, str] = client.get_run(run_id).data.tags if run_id else {}
    except MlflowException:
        return {}
    return found
