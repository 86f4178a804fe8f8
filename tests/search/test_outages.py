from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError, OperationalError, PendingRollbackError

from tests.search.outage import DriverError
from thaw.search import outages

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine


class Storage:
    """The engine of a storage whose server answers from the connection number ``first`` on."""

    def __init__(self, first: int) -> None:
        self.asked = 0
        self._first = first
        self.engine: Engine = create_engine("sqlite://", creator=self._connect)

    def _connect(self) -> sqlite3.Connection:
        self.asked += 1
        if self.asked < self._first:
            raise sqlite3.OperationalError("unable to connect")
        return sqlite3.connect(":memory:")


def stored(error: BaseException) -> StorageInternalError:
    """Return ``error`` as Optuna raises it."""
    raised = StorageInternalError("An exception is raised during the commit")
    raised.__cause__ = error
    return raised


def failed(error: BaseException) -> OperationalError:
    return OperationalError("SELECT 1", {}, error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failed(DriverError("connection refused")), True),
        (failed(DriverError("terminating connection", "57P01")), True),
        (failed(DriverError("starting up", "57P03")), True),
        (stored(failed(DriverError("ended", "57P02"))), True),
        (PendingRollbackError("Can't reconnect", code="8s2b"), True),
        (PendingRollbackError("a flush has failed", code="7s2a"), False),
        (failed(DriverError("no space", "53100")), False),
        (failed(DriverError("too many", "53300")), False),
        (stored(IntegrityError("INSERT", {}, DriverError("twice", "23505"))), False),
        (stored(failed(sqlite3.OperationalError("database is locked"))), False),
        (StorageInternalError("no heartbeat was recorded within 20 s"), False),
        (outages.StorageAwayError("search.storage: it stopped answering"), True),
        (ValueError("a value"), False),
    ],
)
def test_only_a_server_that_went_away_is_an_outage(error: Exception, expected: bool) -> None:
    assert outages.is_outage(error) is expected


def test_waiting_ends_as_soon_as_the_database_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_POLL_INTERVAL", 0.0)
    storage: Any = Storage(first=4)
    outages.wait_until_it_answers(storage)
    assert storage.asked == 4


def test_a_database_that_stays_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_POLL_INTERVAL", 0.0)
    monkeypatch.setattr(outages, "LONGEST", 0.05)
    storage: Any = Storage(first=10**9)
    with pytest.raises(StorageInternalError, match="no answer for 0 s"):
        outages.wait_until_it_answers(storage)
    assert storage.asked > 1


def reading(*errors: Exception) -> tuple[Callable[[], None], list[int]]:
    """Return a function that raises ``errors``, one in each call, and the calls so far."""
    calls: list[int] = []

    def read() -> None:
        calls.append(len(calls))
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]

    return read, calls


def test_a_reading_that_failed_in_an_outage_is_repeated_once() -> None:
    away = stored(failed(DriverError("connection refused")))
    storage: Any = Storage(first=1)
    read, calls = reading(away)
    outages.repeated_after_outage(storage, read)
    assert calls == [0, 1]
    read, calls = reading(away, away)
    with pytest.raises(StorageInternalError):
        outages.repeated_after_outage(storage, read)
    assert calls == [0, 1]


def test_another_error_is_not_repeated() -> None:
    storage: Any = Storage(first=1)
    read, calls = reading(stored(IntegrityError("INSERT", {}, ValueError("twice"))))
    with pytest.raises(StorageInternalError):
        outages.repeated_after_outage(storage, read)
    assert calls == [0]
