"""Fetch the model directory of a registered version, and refuse what is not a model of thaw."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from thaw.errors import ThawError
from thaw.model import directory
from thaw.model.sealed_files import SPEC
from thaw.registry.aliases import explain_missing
from thaw.registry.artifact_files import download_artifact
from thaw.registry.names import DIGEST, PREFIX, require_version
from thaw.system.files import sha256_of
from thaw.system.repeat_command import repeat_command
from thaw.tracking.outages import STORE_ERRORS
from thaw.tracking.store import connect_read_only, store_uri
from thaw.tracking.store_failures import NOT_MLFLOW, failure_of, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlflow.entities.model_registry import ModelVersion

    from thaw.config.result_sections import Tracking
    from thaw.model.spec import ModelSpec

_OTHER = ": it is not loaded; `thaw status` lists other versions"

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
    match = require_version(uri)
    client = connect_read_only(tracking)
    name = match["name"]
    try:
        if match["alias"]:
            found = client.get_model_version_by_alias(name, match["alias"])
        else:
            found = client.get_model_version(name, match["version"])
        number = _number(found)
    except STORE_ERRORS as error:
        if getattr(error, "error_code", "") in _NOTHING_THERE:
            raise ThawError(f"{uri}: {explain_missing(client, name)}") from None
        raise ThawError(f"{uri}: {failure_of(error, store_uri(tracking))}") from None
    return Version(name, number)


def _number(found: ModelVersion) -> int:
    """Return the number of a version in the answer of a store.

    Raises:
        MlflowException: it has none: the answer is not one of MLflow.
    """
    if not str(found.version).isdecimal():
        raise MlflowException(f"{NOT_MLFLOW}: a version has no number")
    return int(found.version)


@contextmanager
def fetched_into(folder: Path, version: Version) -> Iterator[None]:
    """Name ``version`` in an error about its files in ``folder``, which is deleted afterwards.

    The path differs each time, and what helps for a folder of a project does not help here.

    Raises:
        ThawError: the block raised it.
    """
    try:
        yield
    except ThawError as error:
        text = str(error)
        if str(folder) not in text:
            raise
        model = re.compile(rf"{re.escape(str(folder))}/data/[^/:\s]+(/?)")
        text = model.sub(lambda found: version.uri + (": " if found[1] else ""), text)
        text = text.replace(str(folder), version.uri).removesuffix(directory.RESTORE)
        raise ThawError(f"{text}{_OTHER}") from error


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
    except STORE_ERRORS as error:
        raise ThawError(f"{version.uri} could not be fetched: {reason_of(error)}") from None
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
            raise ThawError(
                f"{version.uri} is not complete: it has no {name}{_OTHER}, and in the project that "
                f"made it, `{repeat_command('evaluate')}` uploads its files again"
            )
        if sha256_of(path) != digest:
            raise ThawError(
                f"{version.uri} was changed or damaged: the SHA-256 of its {name} is not the one "
                f"in {SPEC}{_OTHER}"
            )
