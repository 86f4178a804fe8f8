"""Heads of a study on a store that several machines share, through Optuna's artifacts.

Workers of one study on several machines train each head once: the first one uploads it, and lists
it in the study under the name of its file; the others download it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from optuna.artifacts import (
    Backoff,
    Boto3ArtifactStore,
    FileSystemArtifactStore,
    GCSArtifactStore,
    download_artifact,
    get_all_artifact_meta,
    upload_artifact,
)
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.exceptions import StorageInternalError

from thaw.errors import ThawError
from thaw.search.trained_heads import load_head
from thaw.system.console import warn

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

_ATTEMPTS = 3  # to read or write an object, with a growing wait between them
_PAUSE = 300.0  # seconds after an error in which the store is not asked again


@dataclass
class SharedHeads:
    """The heads of ``study``, whose files are in ``store``.

    A store that does not answer costs time and no trial: the head is trained here, and one warning
    is written. It is asked again after some minutes. Reading and writing fail independently, as
    where the credentials allow only one of them.
    """

    study: Study
    storage: BaseStorage
    store: Any
    _is_warned: bool = field(default=False, init=False)
    _next: dict[str, float] = field(default_factory=dict, init=False)  # time of the next request
    _stored: set[str] = field(default_factory=set, init=False)  # names of files, as far as known

    def fetch(self, path: Path) -> bool:
        """Download the head with the name of ``path``, if another worker has uploaded it.

        Return whether a file is at ``path`` then. One that exists is left as it is, and is not
        checked: who loads it does that.

        Raises:
            ThawError: the database of the studies does not answer.
            StorageInternalError: it raised an error.
        """
        if path.exists():
            return True
        if self._is_away("read"):
            return False
        try:
            return any(self._download(found, path) for found in self._artifacts(path.name))
        except (ThawError, StorageInternalError):  # of the database of the studies
            raise
        except Exception as error:  # whatever the client of the store raises
            self._note_failure("read", path, error)
            return False

    def publish(self, path: Path) -> None:
        """Upload the head in the file ``path``, unless a worker has uploaded it already.

        A worker that was killed may have listed or saved it without uploading it.

        Raises:
            ThawError: the database of the studies does not answer.
            StorageInternalError: it raised an error.
        """
        if path.name in self._stored or self._is_away("write"):
            return
        try:
            if not any(self._is_stored(found) for found in self._artifacts(path.name)):
                upload_artifact(
                    artifact_store=self.store,
                    file_path=str(path),
                    study_or_trial=self.study,
                    storage=self.storage,
                )
            self._stored.add(path.name)
        except (ThawError, StorageInternalError):  # of the database of the studies
            raise
        except Exception as error:  # whatever the client of the store raises
            self._note_failure("write", path, error)

    def _artifacts(self, name: str) -> list[str]:
        """Return the identifiers of the uploaded files called ``name``."""
        listed = get_all_artifact_meta(self.study, storage=self.storage)
        return [one.artifact_id for one in listed if one.filename == name]

    def _is_stored(self, artifact: str) -> bool:
        try:
            self.store.open_reader(artifact).close()
        except ArtifactNotFound:
            return False
        return True

    def _download(self, artifact: str, path: Path) -> bool:
        """Download ``artifact`` to ``path``; return False if it is missing or damaged."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            download_artifact(
                artifact_store=self.store, artifact_id=artifact, file_path=str(partial)
            )
            if load_head(partial) is None:
                return False
            partial.replace(path)
        except ArtifactNotFound:  # listed by a worker that was killed before it uploaded
            return False
        finally:
            partial.unlink(missing_ok=True)
        return True

    def _is_away(self, action: str) -> bool:
        """Return whether the store has failed to ``action`` (read or write) in the last minutes."""
        return time.monotonic() < self._next.get(action, 0.0)

    def _note_failure(self, action: str, path: Path, error: Exception) -> None:
        self._next[action] = time.monotonic() + _PAUSE
        if not self._is_warned:
            self._is_warned = True
            warn(
                f"search.artifacts: cannot {action} {path.name}: {error}; "
                "heads are trained on this machine"
            )


def shared_heads(address: str, study: Study, storage: BaseStorage) -> SharedHeads | None:
    """Return the heads of ``study`` at ``address``, the parameter ``search.artifacts``.

    None if it is empty.

    Raises:
        ThawError: the client package of the store is not installed, or its settings are incomplete.
    """
    if not address:
        return None
    backend = _opened(address)
    if not isinstance(backend, FileSystemArtifactStore):
        backend = Backoff(backend, max_retries=_ATTEMPTS)
    return SharedHeads(study, storage, backend)


def _opened(address: str) -> Any:
    parts = urlsplit(address)
    try:
        match parts.scheme:
            case "s3":
                return Boto3ArtifactStore(parts.netloc, _s3_client())
            case "gs":
                return GCSArtifactStore(parts.netloc)
    except ImportError as error:
        package = "thaw-vision[servers]" if parts.scheme == "s3" else "google-cloud-storage"
        raise ThawError(
            f"search.artifacts: {address} needs a package: pip install '{package}'"
        ) from error
    except Exception as error:  # whatever the client of the store raises: no region, no credentials
        raise ThawError(
            f"search.artifacts: {address} cannot be opened: {error}; set the credentials of the "
            "store in the environment, or another address"
        ) from error
    folder = Path(address)
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(base_path=folder)


def _s3_client() -> Any:
    import boto3  # an optional package

    # MLflow's variable serves as well as the one that boto3 reads itself.
    return boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
