"""Compare the artifact of a version with the digest that was decided on, when the alias moves."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.model.sealed_files import sealed_digest
from thaw.registry.artifact_files import ArtifactStoreError, download_artifact
from thaw.registry.names import DIGEST

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class ChangedArtifactError(ThawError):
    """The artifact of a version is not the one that was decided on."""


def check_artifact(client: MlflowClient, name: str, number: int, digest: str) -> None:
    """Raise if the files of a version are not the model with ``digest``.

    Every file is read. Nothing is loaded, and torch is not imported.

    Raises:
        ChangedArtifactError: the files were changed or removed.
        MlflowException: there is no such version.
        ArtifactStoreError: the store of the files does not answer, or refuses.
    """
    tagged = client.get_model_version(name, str(number)).tags.get(DIGEST, "")
    with tempfile.TemporaryDirectory(prefix="thaw-") as scratch:
        try:
            found = sealed_digest(download_artifact(client, name, number, Path(scratch)))
        except ArtifactStoreError:
            raise
        except ThawError as error:
            reason = str(error).replace(scratch, "")
            raise ChangedArtifactError(f"{name} version {number}: {reason}") from None
    if found != digest or tagged != digest:
        wrong = f"its files have {found[:12]}" if found != digest else f"its tag says {tagged[:12]}"
        raise ChangedArtifactError(
            f"{name} version {number} is not the model that was decided on: that has the digest "
            f"{digest[:12]}, {wrong}"
        )
