"""A database of studies that does not answer for a while, as when its server restarts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from optuna.exceptions import StorageInternalError
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.storages import RDBStorage
    from sqlalchemy.engine import Engine

EXIT_CODE = 75  # of a worker whose database does not answer: EX_TEMPFAIL of sysexits.h
LONGEST = 60.0  # seconds
_POLL_INTERVAL = 1.0  # seconds
_CONNECTION_LOST = "8s2b"  # code of SQLAlchemy: the connection was lost within the transaction
# SQLSTATE classes: connection exception; operator intervention, such as a shutdown.
_CONNECTION_STATES = ("08", "57P")


class StorageAwayError(ThawError):
    """The database of the studies does not answer now, and may answer later."""


def is_outage(error: BaseException) -> bool:
    """Return whether ``error`` came from a connection to a server that failed or was ended.

    A full disk, a missing table and all errors of SQLite are none.
    """
    if isinstance(error, StorageAwayError):
        return True
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, PendingRollbackError):
        return cause.code == _CONNECTION_LOST
    if not isinstance(cause, (OperationalError, InterfaceError)):
        return False
    if type(cause.orig).__module__.startswith("sqlite3"):
        return False
    state = getattr(cause.orig, "sqlstate", None)
    # psycopg gives no state where the server cannot be reached, or closes the connection.
    return state is None or str(state).startswith(_CONNECTION_STATES)


def wait_until_it_answers(storage: RDBStorage) -> None:
    """Return as soon as the database answers.

    Raises:
        StorageInternalError: it does not within ``LONGEST`` seconds.
    """
    deadline = time.monotonic() + LONGEST
    while not _answers(storage.engine):
        if time.monotonic() > deadline:
            raise StorageInternalError(f"no answer for {LONGEST:.0f} s")
        time.sleep(_POLL_INTERVAL)


def repeated_after_outage(storage: RDBStorage, call: Callable[[], None]) -> None:
    """Call ``call``, and once more if the database did not answer; what ``call`` does is done once.

    Raises:
        StorageInternalError: the database still does not answer, or fails for another reason.
        SQLAlchemyError: the same, from outside of Optuna.
        ThawError: the same, as a message.
    """
    try:
        call()
    except (StorageInternalError, SQLAlchemyError, ThawError) as error:
        if not is_outage(error):
            raise
        wait_until_it_answers(storage)
        call()


def _answers(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
