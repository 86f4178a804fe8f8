"""Fetch the model directory of a registered version, and refuse what is not a model of thaw."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from thaw.errors import ThawError
from thaw.model import directory
from thaw.model.sealed_files import SPEC
from thaw.registry.aliases import explain_missing
from thaw.registry.artifact_files import download_artifact
from thaw.registry.names import DIGEST, PREFIX
from thaw.tracking.store import connect_read_only, reason_of

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.result_sections import Tracking
    from thaw.model.spec import ModelSpec

_OTHER = ": it is not loaded; `thaw status` lists other versions, `dvc repro` makes a new one"

_URI = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>\d+))")

# codes of MLflow: no such model or version; no such alias (in a store of SQL)
_NOTHING_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Version:
    """A registered version, identified by its number, which no move of an alias changes."""

    name: str
    number: int

    @property
    def uri(self) -> str:
        """``models:/NAME/NUMBER``."""
        return f"{PREFIX}{self.name}/{self.number}"


def resolve(uri: str, tracking: Tracking) -> Version:
    """Return the version that ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER`` names now.

    Nothing is written: read access to the store is sufficient.

    Raises:
        ThawError: there is no such model, alias or version, or the store does not answer.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise ThawError(f"{uri}: must be models:/NAME@ALIAS or models:/NAME/VERSION")
    client = connect_read_only(tracking)
    name = match["name"]
    try:
        if match["alias"]:
            found = client.get_model_version_by_alias(name, match["alias"])
        else:
            found = client.get_model_version(name, match["version"])
    except MlflowException as error:
        is_known = error.error_code in _NOTHING_THERE
        reason = explain_missing(client, name) if is_known else reason_of(error)
        raise ThawError(f"{uri}: {reason}") from None
    except (SQLAlchemyError, OSError) as error:
        raise ThawError(f"{uri}: {str(error).splitlines()[0]}") from error
    return Version(name, int(found.version))


def fetch(version: Version, folder: Path) -> Path:
    """Copy the model directory of ``version`` into ``folder``; return its path.

    The directory has the digest of the version, and the artifact has no other files. MLflow never
    loads the artifact, because that runs the loader that the artifact names.

    Raises:
        ThawError: the files cannot be fetched, are not a model of thaw, or were changed after
            registration.
    """
    client = MlflowClient()
    model = download_artifact(client, version.name, version.number, folder)
    try:
        tags = client.get_model_version(version.name, str(version.number)).tags
    except MlflowException as error:
        raise ThawError(f"{version.uri} could not be fetched: {error.message}") from None
    spec = directory.read_spec(model)
    directory.refuse_others(model, spec)
    _refuse_changed(version, model, spec)
    if tags.get(DIGEST) != spec.digest:
        raise ThawError(
            f"{version.uri} is not what was registered: its digest is {spec.digest[:12]}, the "
            f"version's tag {DIGEST} says {tags.get(DIGEST, 'nothing')[:12]}{_OTHER}"
        )
    return model


def _refuse_changed(version: Version, model: Path, spec: ModelSpec) -> None:
    """Raise if a file is missing or has another digest than the spec says."""
    for name, digest in spec.files.items():
        path = model / name
        if not path.is_file():
            raise ThawError(f"{version.uri} is not complete: it has no {name}{_OTHER}")
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != digest:
            raise ThawError(
                f"{version.uri} was changed or damaged: the SHA-256 of its {name} is not the one "
                f"in {SPEC}{_OTHER}"
            )
