"""Where studies are kept: any database that Optuna knows; by default sqlite under ``mlruns/``."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path("mlruns")
# A worker writes a sign of life every so many seconds; without one for GRACE, it was killed.
HEARTBEAT = 5
GRACE = 20
_SQLITE = "sqlite:///"


def url_of(storage: str) -> str:
    """``search.storage``, or the project's own database."""
    return storage or f"{_SQLITE}{(FOLDER / 'search.db').resolve()}"


def connect(storage: str) -> RDBStorage:
    """Open the database, which is made at its first use.

    Raises:
        ThawError: it does not answer, cannot be written, or needs a driver that is not there.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    url = url_of(storage)
    try:
        if not url.startswith(_SQLITE):
            return _open(url, {"connect_timeout": 10})
        path = Path(url.removeprefix(_SQLITE))
        if not storage:
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}")
        # Several processes that make the tables at once leave a database that none can use.
        with FileLock(path.with_suffix(".lock")):
            _make_fast(path)
            opened = _open(url, {"timeout": 60})
        event.listen(opened.engine, "connect", _without_waiting)
        opened.engine.dispose()
    except (SQLAlchemyError, sqlite3.Error, OSError, ImportError, ValueError) as error:
        raise ThawError(
            f"search.storage: {_shown(url)} cannot be used: {_reason(error)}"
        ) from error
    except optuna.exceptions.OptunaError as error:
        raise ThawError(
            f"search.storage: {_shown(url)} cannot be used: {_reason(error)}"
        ) from error
    return opened


@contextlib.contextmanager
def alone(storage: RDBStorage) -> Iterator[None]:
    """No other process of any machine is in here: to count trials and take one is one step.

    In sqlite, nothing keeps two processes from taking the same waiting trial (``SELECT ... FOR
    UPDATE`` has no effect there): a file's lock does. Elsewhere, a row's lock.

    Raises:
        ThawError: the storage stopped answering.
    """
    url = str(storage.url)
    with answering(url):
        if url.startswith(_SQLITE):
            with FileLock(Path(url.removeprefix(_SQLITE)).with_suffix(".lock")):
                yield
            return
        with storage.engine.begin() as connection:
            connection.execute(text("SELECT version_info_id FROM version_info FOR UPDATE"))
            yield


@contextlib.contextmanager
def answering(storage: str) -> Iterator[None]:
    """A storage that stops answering within this is one line.

    Raises:
        ThawError: it did.
    """
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise ThawError(
            f"search.storage: {_shown(url_of(storage))} stopped answering: {_reason(error)}; the "
            "same command continues the search"
        ) from error


def never_begun(storage: RDBStorage, study_id: int) -> list[int]:
    """The ids of the running trials of a study that have shown no sign of life, ever.

    Optuna never takes such a trial for dead, however long ago it was.
    """
    query = text(
        "SELECT trial_id FROM trials WHERE study_id = :study AND state = 'RUNNING' "
        "AND trial_id NOT IN (SELECT trial_id FROM trial_heartbeats)"
    )
    with storage.engine.connect() as connection:
        return [int(row[0]) for row in connection.execute(query, {"study": study_id})]


def _open(url: str, arguments: dict[str, Any]) -> RDBStorage:
    return RDBStorage(
        url,
        # pre-ping: after a restart of the database, its old connections are not used again
        engine_kwargs={"pool_pre_ping": True, "connect_args": arguments},
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=1),
    )


def _make_fast(path: Path) -> None:
    """A write-ahead log: readers do not wait for writers. The file remembers it."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _without_waiting(connection: Any, _: Any) -> None:
    # With a write-ahead log, a power cut may then lose the last trial, and nothing else.
    connection.execute("PRAGMA synchronous=NORMAL")


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return repr(url)


def _reason(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, optuna.exceptions.OptunaError) else None
    lines = str(cause or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
