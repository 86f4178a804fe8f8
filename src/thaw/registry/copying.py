"""Copy a version to another registered model, also on another tracking server."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.exceptions import MlflowException

from thaw.config.text_patterns import MODEL_NAME, MODEL_NAME_WORDS
from thaw.errors import ThawError
from thaw.model import directory
from thaw.registry import names
from thaw.registry.aliases import aliases
from thaw.registry.fetch import fetch, fetched_into, resolve
from thaw.registry.names import CHALLENGER, CHAMPION, COPIED, COPIED_FROM, PREFIX
from thaw.registry.register import create_model
from thaw.registry.same_result import delete_unused
from thaw.tracking.run_logging import log_in_batches
from thaw.tracking.run_owner import PROCESS, is_another_at_work, this_process
from thaw.tracking.store import connect, store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.config.result_sections import Tracking
    from thaw.registry.fetch import Version

_COPIED_RUN = "thaw.copied_run"
_LEFT_OUT = ("mlflow.log-model.history", PROCESS)


@dataclass(frozen=True)
class Copied:
    """The version that was created, or found again, and the alias that it has."""

    name: str
    version: int
    alias: str = CHALLENGER


def copy_version(source: str, name: str, tracking: Tracking, to_uri: str = "") -> Copied:
    """Copy the version ``source`` to the model ``name``, where it becomes the challenger.

    A copy that has become the champion there keeps that alias alone.

    ``source`` is ``models:/A@champion`` or ``models:/A/3``. The copy has the scores, description,
    report and parents of the version; on another server ``to_uri`` also its run, with parameters,
    metrics and files. If the copy exists already, it is returned.

    Raises:
        ThawError: there is no such version, its files are not those of the registered model, or
            ``name`` cannot be the name of a model.
    """
    if not re.fullmatch(MODEL_NAME, name):
        raise ThawError(f"{name!r}: {MODEL_NAME_WORDS}")
    found = resolve(source, tracking)
    if name == found.name and to_uri in {"", store_uri(tracking)}:
        raise ThawError(f"{source} is a version of {name} already: copy it to another model")
    client, _ = connect(tracking)
    entry = client.get_model_version(found.name, str(found.number))
    if to_uri in {"", store_uri(tracking)}:
        with tempfile.TemporaryDirectory() as scratch:
            _fetch_and_load(found, Path(scratch))
        copied = _existing_copy(client, name, found, entry) or _only_copy(
            client, name, found, entry, _copy_in_store(client, found, entry, name)
        )
    else:
        copied = _copy_to_server(client, found, entry, name, tracking, to_uri)
        client, _ = connect(tracking.model_copy(update={"uri": to_uri}))
    number = int(copied.version)
    if aliases(client, name).get(CHAMPION) == number:
        return Copied(name, number, CHAMPION)
    client.set_registered_model_alias(name, CHALLENGER, str(number))
    return Copied(name, number)


def _fetch_and_load(found: Version, folder: Path) -> None:
    """Copy a version into ``folder``.

    Raises:
        ThawError: its files were changed after registration, or are not a model that serves.
    """
    try:
        with fetched_into(folder, found):
            directory.load(fetch(found, folder))
    except ThawError as error:
        text = str(error)
        version = "" if found.uri in text else f"{found.uri}: "
        raise ThawError(f"cannot be copied: {version}{text}") from None


def _existing_copy(
    client: MlflowClient, name: str, found: Version, entry: ModelVersion
) -> ModelVersion | None:
    """Return the first earlier complete copy of the version, or None."""
    return next(iter(_copies(client, name, found, entry)), None)


def _copies(
    client: MlflowClient, name: str, found: Version, entry: ModelVersion
) -> list[ModelVersion]:
    """Return the complete copies of the version, the first one first."""
    copies = [
        version
        for version in client.search_model_versions(f"name = '{name}'")
        if version.tags.get(COPIED_FROM) == found.uri
        and version.tags.get(names.DIGEST) == entry.tags.get(names.DIGEST)
    ]
    return sorted(copies, key=lambda version: int(version.version))


def _only_copy(
    client: MlflowClient, name: str, found: Version, entry: ModelVersion, made: ModelVersion
) -> ModelVersion:
    """Return the first copy; delete the others that nothing uses.

    There are several if MLflow repeated the request that created ``made`` because the answer was
    lost, or if another process copied the version at the same time.
    """
    copies = _copies(client, name, found, entry) or [made]
    delete_unused(client, copies[1:])
    return copies[0]


def _copy_in_store(
    client: MlflowClient, found: Version, entry: ModelVersion, name: str
) -> ModelVersion:
    """Create a version of the same files, in one step.

    MLflow's own function would also copy the verdict of the gate of the other model.
    """
    create_model(client, name)
    return client.create_model_version(
        name,
        str(entry.source),
        entry.run_id,
        _tags(entry, found),
        description=entry.description,
        model_id=entry.model_id or _model_id(str(entry.source)),
    )


def _model_id(source: str) -> str | None:
    """Return the id of the logged model in ``models:/ID``: a server's answer leaves it out."""
    return source.removeprefix(PREFIX) if source.startswith(PREFIX) else None


def _tags(entry: ModelVersion, found: Version) -> dict[str, str]:
    """Return the tags of the copy; tags of the gate get a prefix, since the model has its own."""
    tags = {
        f"{COPIED}{tag}" if tag.startswith(names.GATE) else tag: value
        for tag, value in entry.tags.items()
    }
    return {**tags, COPIED_FROM: found.uri}


def _copy_to_server(
    client: MlflowClient,
    found: Version,
    entry: ModelVersion,
    name: str,
    tracking: Tracking,
    to_uri: str,
) -> ModelVersion:
    """Copy the run, its files and the model to the other server; return the new version."""
    if not entry.run_id:
        raise ThawError(f"{found.uri} has no run: it was not registered by thaw")
    with tempfile.TemporaryDirectory() as scratch:
        model, files = Path(scratch, "model"), Path(scratch, "files")
        files.mkdir()
        try:
            _fetch_and_load(found, model)
            if client.list_artifacts(entry.run_id):
                mlflow.artifacts.download_artifacts(run_id=entry.run_id, dst_path=str(files))
            run = client.get_run(entry.run_id)
        except (MlflowException, OSError) as error:
            raise ThawError(f"{found.uri} could not be fetched: {error}") from None
        target, experiment = connect(tracking.model_copy(update={"uri": to_uri}))
        there = _existing_copy(target, name, found, entry)
        if there is not None:
            return there
        made = _copy_run(client, target, experiment, run)
        target.log_artifacts(made.info.run_id, str(files))
        target.log_artifacts(made.info.run_id, str(_model_folder(model, found.uri)), "model")
    create_model(target, name)
    new_id = made.info.run_id
    tags = {tag: text.replace(entry.run_id, new_id) for tag, text in _tags(entry, found).items()}
    version = target.create_model_version(
        name, f"{made.info.artifact_uri}/model", new_id, tags, description=entry.description
    )
    target.set_terminated(new_id, "FINISHED")
    return _only_copy(target, name, found, entry, version)


def _model_folder(downloaded: Path, uri: str) -> Path:
    found = sorted(downloaded.rglob("MLmodel"))
    if not found:
        raise ThawError(f"{uri} has no file MLmodel: its files are incomplete")
    return found[0].parent


def _copy_run(client: MlflowClient, target: MlflowClient, experiment: str, run: Run) -> Run:
    """Create a run with the parameters, tags and metrics of ``run``.

    Incomplete copies are removed, unless another process may be making them.
    """
    old = run.info.run_id
    running = f"tags.`{_COPIED_RUN}` = '{old}' and attributes.status = 'RUNNING'"
    for half in target.search_runs([experiment], running):
        if not is_another_at_work(half.data.tags, half.info.start_time):
            target.delete_run(half.info.run_id)
    own = {_COPIED_RUN: old, PROCESS: this_process()}
    made = target.create_run(experiment, tags=own, run_name=run.info.run_name)
    new = made.info.run_id
    tags = {key: value for key, value in run.data.tags.items() if key not in _LEFT_OUT}
    metrics = [m for key in run.data.metrics for m in client.get_metric_history(old, key)]
    log_in_batches(target, new, metrics=metrics, params=run.data.params, tags=tags)
    return made
