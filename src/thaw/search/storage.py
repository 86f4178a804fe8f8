"""The database of the studies: any that Optuna supports, by default sqlite in ``mlruns/``."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import Column, Integer, MetaData, Table, event, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from thaw.errors import ThawError
from thaw.search.outages import StorageAwayError, is_outage
from thaw.system.project_paths import STORE
from thaw.system.sqlite_addresses import (
    address_of,
    is_sqlite,
    may_write,
    path_of,
    read_only_address,
)
from thaw.system.storage_errors import uncaught_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

HEARTBEAT_INTERVAL = 5  # seconds between two heartbeats of a running trial
GRACE_PERIOD = 20  # seconds without a heartbeat after which a trial counts as stale
MAX_RETRIES = 1  # of a trial whose worker was killed
_OPENINGS = 6  # of a database whose tables others create at the same time
_PAUSE = 0.5  # seconds
# thaw's own table of one row. Workers on several machines lock this row; see exclusive_lock.
_LOCK_TABLE = Table("thaw_lock", MetaData(), Column("id", Integer, primary_key=True))
_LOGIN = "set PGPASSWORD or ~/.pgpass to the password of this user"
# Texts of PostgreSQL's client and server, and what to do; the first one that is found counts.
_ADVICE = (
    ("no password supplied", _LOGIN),
    ("password authentication failed", _LOGIN),
    ("does not exist", "create it as an administrator of the server, or correct the address"),
    ("permission denied", "the user needs to be the owner of the database, which creates tables"),
)


class HeartbeatStorage(RDBStorage):
    """An Optuna storage that reports when a heartbeat is recorded and tolerates failed ones.

    ``Study.optimize`` records heartbeats in a thread. If one raised there, the thread would end
    and a healthy trial would be declared stale. The next heartbeat replaces a failed one.
    """

    def __init__(self, url: str, connect_args: dict[str, Any]) -> None:
        super().__init__(
            url,
            # pre-ping: after a restart of the database its old connections are not used again
            engine_kwargs={"pool_pre_ping": True, "connect_args": connect_args},
            heartbeat_interval=HEARTBEAT_INTERVAL,
            grace_period=GRACE_PERIOD,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(MAX_RETRIES),
        )
        self._recorded = threading.Event()

    def record_heartbeat(self, trial_id: int) -> None:
        """Record a heartbeat of a running trial; do nothing if the database does not answer."""
        with contextlib.suppress(StorageInternalError):
            super().record_heartbeat(trial_id)
            self._recorded.set()

    def forget_heartbeat(self) -> None:
        """Make :meth:`wait_for_heartbeat` wait for a heartbeat that comes after this call."""
        self._recorded.clear()

    def wait_for_heartbeat(self) -> None:
        """Wait until a heartbeat is recorded.

        Raises:
            StorageInternalError: the database recorded none within the grace period.
        """
        if not self._recorded.wait(GRACE_PERIOD):
            raise StorageInternalError(f"no heartbeat was recorded within {GRACE_PERIOD} s")


def url_of(storage: str) -> str:
    """Return ``search.storage``, or the URL of the project's own database if it is empty."""
    return storage or address_of((STORE / "search.db").resolve())


def connect(storage: str) -> HeartbeatStorage:
    """Open the database ``storage`` (a URL, or "" for the project's own); create missing tables.

    Raises:
        ThawError: it does not answer, cannot be written, or its driver is not installed.
    """
    url = url_of(storage)
    with _explain_opening(url):
        if is_sqlite(url):
            return _open_sqlite(path_of(url), make_folder=not storage)
        return _open_server(url)


def _open_server(url: str, left: int = _OPENINGS) -> HeartbeatStorage:
    """Open a database of a server; do it again if its tables appeared meanwhile.

    Of two searches that create the tables at the same moment, one gets an error.

    Raises:
        DBAPIError: the database refuses for another reason.
    """
    try:
        opened = HeartbeatStorage(url, {"connect_timeout": 10})
        _create_lock_row(opened.engine)
    except DBAPIError as error:
        is_race = isinstance(error, IntegrityError) or "already exists" in str(error)
        if not is_race or left == 1:
            raise
        time.sleep(_PAUSE)
        return _open_server(url, left - 1)
    return opened


def connect_to_read(storage: str) -> HeartbeatStorage:
    """Open the database as ``connect`` does; also a file that this user may only read.

    Raises:
        ThawError: it does not answer, cannot be read, or its driver is not installed.
    """
    url = url_of(storage)
    if is_sqlite(url) and path_of(url).exists() and not may_write(path_of(url)):
        with _explain_opening(url):
            return HeartbeatStorage(read_only_address(path_of(url)), {"timeout": 60})
    return connect(storage)


@contextlib.contextmanager
def _explain_opening(url: str) -> Iterator[None]:
    """Silence Optuna, and replace errors within the block by a message of one line.

    Raises:
        ThawError: the database at ``url`` cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError, ImportError, ValueError, OptunaError) as error:
        kind = StorageAwayError if is_outage(error) else ThawError
        raise kind(f"search.storage: {url} cannot be used: {_reason(error)}") from error


@contextlib.contextmanager
def exclusive_lock(storage: RDBStorage) -> Iterator[Callable[[], object]]:
    """Exclude all other workers of all machines, so that counting and taking a trial is one step.

    sqlite has no row locks (it ignores ``SELECT ... FOR UPDATE``): there, a file is locked. A
    server that restarts releases the lock: the function that this yields raises an error then.

    Raises:
        ThawError: the database stopped answering.
    """
    url = str(storage.url)
    with explain_failures(url):
        if is_sqlite(url):
            with _file_lock(path_of(url)):
                yield lambda: None
            return
        lock_row = select(_LOCK_TABLE.c.id).with_for_update()
        with storage.engine.begin() as connection:
            connection.execute(lock_row)
            yield partial(connection.execute, lock_row)


@contextlib.contextmanager
def explain_failures(storage: str) -> Iterator[None]:
    """Replace errors of the database within the block by a message of one line.

    Raises:
        StorageAwayError: the server of the database does not answer.
        ThawError: the database failed for another reason.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        kind = StorageAwayError if is_outage(error) else ThawError
        raise kind(
            f"search.storage: {url_of(storage)} stopped answering: "
            f"{_reason(error)}; the same command continues the search"
        ) from error


def _open_sqlite(path: Path, *, make_folder: bool) -> HeartbeatStorage:
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}")
    # Processes that create the tables at the same time leave a database that none can use.
    with _file_lock(path):
        _use_write_ahead_log(path)
        opened = HeartbeatStorage(address_of(path), {"timeout": 60})
    event.listen(opened.engine, "connect", _relax_synchronous)
    opened.engine.dispose()
    return opened


def _file_lock(path: Path) -> FileLock:
    return FileLock(path.with_suffix(".lock"))


def _use_write_ahead_log(path: Path) -> None:
    """Set the journal mode in which readers do not wait for writers; the file stores it."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _relax_synchronous(connection: Any, _: Any) -> None:
    # With a write-ahead log, a power failure may then lose the last trial, and nothing else.
    connection.execute("PRAGMA synchronous=NORMAL")


def _create_lock_row(engine: Engine) -> None:
    """Create the table with its row; another process may do the same at the same time."""
    try:
        _LOCK_TABLE.create(engine, checkfirst=True)
    except SQLAlchemyError:
        if not inspect(engine).has_table(_LOCK_TABLE.name):
            raise
    with contextlib.suppress(IntegrityError), engine.begin() as connection:
        if connection.execute(select(_LOCK_TABLE.c.id)).first() is None:
            connection.execute(_LOCK_TABLE.insert().values(id=1))


def _reason(error: BaseException) -> str:
    if failure := uncaught_failure(error):
        return failure
    cause = error.__cause__ if isinstance(error, OptunaError) else None
    lines = str(cause or error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    advice = next((text for sign, text in _ADVICE if sign in reason), "")
    return f"{reason} ({advice})" if advice else reason
