"""A model by its name: a version in the registry, or a model directory on this disk."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from thaw.config.loading import PARAMS_FILE, load
from thaw.config.result_sections import Tracking
from thaw.config.section import Section
from thaw.errors import ThawError
from thaw.model import directory
from thaw.registry.names import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Section(Section):
    tracking: Tracking


@dataclass(frozen=True)
class Located:
    """A model directory, and what it is called: ``models:/NAME/NUMBER``, or its path."""

    name: str
    folder: Path


@contextmanager
def located(model: str) -> Iterator[Located]:
    """The directory of ``model``; a registered one is fetched, and gone afterwards.

    Raises:
        ThawError: it is not there, or not what was registered.
    """
    if not model.startswith(PREFIX):
        yield Located(model, _local(model))
        return
    from thaw.registry.fetch import fetch, resolve  # imports MLflow

    with TemporaryDirectory(prefix="thaw-") as scratch:
        version = resolve(model, tracking())
        yield Located(version.uri, fetch(version, Path(scratch)))


def current(model: str) -> str:
    """What ``model`` stands for now: the version of an alias, the digest of a directory."""
    if not model.startswith(PREFIX):
        return directory.read_spec(Path(model)).digest
    from thaw.registry.fetch import resolve

    return resolve(model, tracking()).uri


def tracking() -> Tracking:
    """Where the registry is: as ``params.yaml`` says, or where there is none, the environment.

    Raises:
        ThawError: neither says it.
    """
    if PARAMS_FILE.exists():
        return load(_Section).tracking
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise ThawError(
            f"{Path.cwd()} is not a project of thaw (it has no {PARAMS_FILE}): change to the "
            "folder of a project, create one with `thaw init DIR`, or set "
            "MLFLOW_TRACKING_URI"
        )
    return Tracking(uri=uri, experiment="thaw", registered_model="-", system_metrics_seconds=5.0)


def _local(model: str) -> Path:
    folder = Path(model)
    if not folder.is_dir():
        raise ThawError(
            f"{model} is no model: give models:/NAME@ALIAS, models:/NAME/VERSION or the folder of "
            "a model (models/fold_bn/merged)"
        )
    return folder
