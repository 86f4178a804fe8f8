"""Find a model by its URI: a version in the registry, or a model directory on this disk."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from thaw.config.loading import load
from thaw.config.result_sections import Tracking
from thaw.config.section import Section
from thaw.errors import ThawError
from thaw.model import directory
from thaw.registry.names import PREFIX
from thaw.system.missing_project import explain_missing_project
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator


class _TrackingSection(Section):
    tracking: Tracking


@dataclass(frozen=True)
class LocalModel:
    """A model directory on this disk; ``name`` is ``models:/NAME/NUMBER`` or the folder's path."""

    name: str
    folder: Path


@contextmanager
def local_model(model_uri: str, tracking: Tracking | None = None) -> Iterator[LocalModel]:
    """Provide the directory of a model; a registered model is fetched and deleted afterwards.

    ``tracking`` names the registry; by default :func:`registry_settings` does.

    Raises:
        ThawError: the model does not exist, or differs from what was registered.
    """
    if not model_uri.startswith(PREFIX):
        yield LocalModel(model_uri, _existing_folder(model_uri))
        return
    from thaw.registry.fetch import fetch, fetched_into, resolve  # imports MLflow

    with TemporaryDirectory(prefix="thaw-") as scratch:
        version = resolve(model_uri, tracking or registry_settings())
        with fetched_into(Path(scratch), version):
            yield LocalModel(version.uri, fetch(version, Path(scratch)))


def resolve_version(model_uri: str) -> str:
    """Return what ``model_uri`` names now: a registered version, or the digest of a directory."""
    if not model_uri.startswith(PREFIX):
        return directory.read_spec(_existing_folder(model_uri)).digest
    from thaw.registry.fetch import resolve

    return resolve(model_uri, registry_settings()).uri


def registry_settings() -> Tracking:
    """Return the registry of ``params.yaml``; outside of a project, that of the environment.

    Raises:
        ThawError: neither ``params.yaml`` nor ``MLFLOW_TRACKING_URI`` is there.
    """
    if PARAMS_FILE.exists():
        return load(_TrackingSection).tracking
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise ThawError(explain_missing_project(Path.cwd(), is_model_wanted=True))
    return Tracking(uri=uri)  # a model is only read: its name is in the address


def _existing_folder(model_uri: str) -> Path:
    folder = Path(model_uri)
    if not folder.is_dir():
        raise ThawError(
            f"{model_uri} is not a model: give models:/NAME@ALIAS, models:/NAME/VERSION or the "
            "folder of a model (models/fold_bn/merged)"
        )
    return folder
