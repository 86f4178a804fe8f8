"""The connection to the MLflow store: its address, its first creation, and the experiment."""

from __future__ import annotations

import contextlib
import logging
import os
from http.client import FORBIDDEN
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from filelock import FileLock
from google.protobuf.json_format import ParseError
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from requests import RequestException

from thaw.errors import ThawError
from thaw.system.launching import ENVIRONMENT
from thaw.system.project_paths import STORE
from thaw.system.repeat_command import registering
from thaw.system.sqlite_addresses import address_of, is_sqlite, may_write, path_of
from thaw.tracking.artifact_places import folder_of_experiment, place_of_experiment
from thaw.tracking.outages import STORE_ERRORS, StoreOutageError, is_outage
from thaw.tracking.retry_notice import report_repeated_requests
from thaw.tracking.runs_page import VIEW, VIEW_TAG
from thaw.tracking.store_failures import NOT_MLFLOW, failed_address, failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import Experiment

    from thaw.config.result_sections import Tracking

CREATED_BY_THAW = "thaw.made"  # tag of an experiment
_FAIL_AGAIN = ("INVALID_PARAMETER_VALUE", "PERMISSION_DENIED")  # codes of MLflow


def store_uri(tracking: Tracking) -> str:
    """Return ``tracking.uri``, else ``MLFLOW_TRACKING_URI``, else SQLite in ``mlruns/``."""
    local = address_of(project_folder() / STORE / "mlflow.db")
    return tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or local


def project_folder() -> Path:
    """Return the project's folder, also in the copy in which `dvc exp run --temp` works."""
    here = Path.cwd().resolve()
    exps = next((p for p in here.parents if p.parts[-3:] == (".dvc", "tmp", "exps")), None)
    return exps.parents[2] if exps else here


def connect(tracking: Tracking) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the experiment; create both if needed.

    Raises:
        ThawError: the store does not answer, cannot be written, or belongs to another folder.
    """
    configure_mlflow()
    uri = store_uri(tracking)
    mlflow.set_tracking_uri(uri)
    with store_errors(uri):
        if is_sqlite(uri):
            path = path_of(uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Several processes that open a new database at once corrupt it (mlflow#19943).
            with FileLock(path.with_suffix(".lock")):
                _create_database(path)
                client = MlflowClient(uri)
                return client, _experiment_id(client, tracking.experiment, path.parent)
        client = MlflowClient(uri)
        return client, _experiment_id(client, tracking.experiment, None)


def connect_read_only(tracking: Tracking) -> MlflowClient:
    """Return a client of an existing store. Unlike ``connect``, create and write nothing.

    Raises:
        ThawError: there is no such store, it does not answer, or it belongs to another folder.
    """
    configure_mlflow()
    uri = store_uri(tracking)
    if is_sqlite(uri) and not path_of(uri).exists():
        raise ThawError(f"tracking: there is no MLflow store {uri}: {registering()}")
    mlflow.set_tracking_uri(uri)
    with store_errors(uri):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(tracking.experiment) if is_sqlite(uri) else None
    if found and CREATED_BY_THAW in found.tags:
        _require_place(found, path_of(uri).parent)
    return client


def connect_to_read(tracking: Tracking) -> MlflowClient:
    """Return a client as ``connect`` does; of a local store that this user may only read, too.

    Raises:
        ThawError: the store does not answer, or belongs to another folder.
    """
    uri = store_uri(tracking)
    if is_sqlite(uri) and path_of(uri).exists() and not may_write(path_of(uri)):
        return connect_read_only(tracking)
    return connect(tracking)[0]


def configure_mlflow() -> None:
    """Set MLflow's variables as the stages have them, and turn off its log lines.

    Among them are the time and number of requests to a server that does not answer: with MLflow's
    own, a command waits four minutes for it.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs each error of a database with its traceback, and raises it as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    for name, value in ENVIRONMENT.items():
        if name.startswith("MLFLOW_"):
            os.environ.setdefault(name, value)
    # Two lines for each run that ends on a server, with the password of its address, and also
    # within the output of --json.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    report_repeated_requests()


@contextlib.contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raise ThawError with one line, instead of the error of the store at ``uri``.

    Raises:
        StoreOutageError: the store does not answer.
        ThawError: the store raised another error.
    """
    try:
        yield
    except (*STORE_ERRORS, ImportError) as error:
        kind = StoreOutageError if is_outage(error, failed_address(error, uri)) else ThawError
        raise kind(f"tracking: {failure_of(error, uri)}") from error


@contextlib.contextmanager
def command_errors(tracking: Tracking) -> Iterator[None]:
    """Raise ThawError with one line, instead of an error of MLflow during a command.

    Raises:
        ThawError: MLflow raised an error.
    """
    try:
        yield
    except (MlflowException, ParseError, RequestException) as error:  # files raise the last one
        message = f"tracking: {failure_of(error, store_uri(tracking), 'failed')}"
        status = getattr(getattr(error, "response", None), "status_code", None)
        may_help = getattr(error, "error_code", "") not in _FAIL_AGAIN and status != FORBIDDEN
        if may_help and "the same command" not in message:
            message += "; run the same command again: it continues where it stopped"
        raise ThawError(message) from error


def _create_database(path: Path) -> None:
    """Create the database under another name and rename it, so that a kill leaves no half of it."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    MlflowClient(address_of(part)).search_experiments(max_results=1)
    part.replace(path)


def _experiment_id(client: MlflowClient, name: str, folder: Path | None) -> str:
    """Return the id of the experiment ``name``; ``folder`` is the one of a local store."""
    found = client.get_experiment_by_name(name)
    if found is None:
        location = place_of_experiment(folder, name) if folder else None
        # Without the first tag, MLflow's pages open on the view for generative AI.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        tags = {**kind, CREATED_BY_THAW: "true", VIEW_TAG: VIEW}
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Another machine was faster, or MLflow repeated a request whose answer was lost.
        found = client.get_experiment_by_name(name)
    if found is None or not found.experiment_id:
        raise MlflowException(f"{NOT_MLFLOW}: an experiment has no id")
    if found.lifecycle_stage != "active":
        raise ThawError(
            f"tracking.experiment: {name!r} was deleted in MLflow: restore it "
            f"(`mlflow experiments restore --experiment-id {found.experiment_id}`), or set "
            "another name"
        )
    if folder:
        _require_place(found, folder)
    return str(found.experiment_id)


def _require_place(experiment: Experiment, folder: Path) -> None:
    """Raise unless a local store in ``folder`` keeps the artifacts of ``experiment`` there.

    MLflow stores absolute paths: a moved project would write to its old folder, and would not find
    its files.

    Raises:
        ThawError: names the command that helps.
    """
    name, place = experiment.name, experiment.artifact_location
    origin = folder_of_experiment(name, place, is_made_by_thaw=CREATED_BY_THAW in experiment.tags)
    if origin is None:
        raise ThawError(
            f"tracking.experiment: {name!r} was not made by thaw and keeps its artifacts in "
            f"{place}: choose another name"
        )
    if origin != folder.resolve():
        raise ThawError(
            f"tracking: the MLflow store was in {origin} and is in {folder} now, so the places of "
            "its files are wrong: run `thaw repair`, which corrects them"
        )
