from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from requests import ConnectionError as NoConnection
from sqlalchemy.exc import DatabaseError, OperationalError

from thaw.tracking.outages import is_outage

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER, FILE = "http://server", "sqlite:///mlruns/mlflow.db"
SQL = "postgresql://server/mlflow"


def of_sqlite(text: str) -> Exception:
    error = MlflowException(f"(sqlite3.OperationalError) {text}", codes.TEMPORARILY_UNAVAILABLE)
    error.__cause__ = OperationalError("SELECT 1", {}, Exception(text))
    return error


@pytest.mark.parametrize(
    ("make", "uri", "expected"),
    [
        (lambda: MlflowException("no connection"), SERVER, True),
        (lambda: MlflowException("503", codes.TEMPORARILY_UNAVAILABLE), SERVER, True),
        (lambda: MlflowException("no", codes.PERMISSION_DENIED), SERVER, False),
        (lambda: MlflowException("what?", codes.ENDPOINT_NOT_FOUND), SERVER, False),
        (NoConnection, SERVER, True),
        (ImportError, SQL, False),
        (lambda: OperationalError("", {}, Exception("refused")), SQL, True),
        (lambda: DatabaseError("", {}, Exception("no table")), SQL, False),
        (lambda: of_sqlite("database is locked"), FILE, True),
        (lambda: of_sqlite("no such table: runs"), FILE, False),
        (lambda: of_sqlite("unable to open database file"), FILE, False),
        (lambda: OSError(errno.EROFS, "read-only"), FILE, False),
        (lambda: OSError(errno.EACCES, "denied"), SERVER, False),
    ],
)
def test_an_outage_can_pass_and_a_refusal_cannot(
    make: Callable[[], Exception], uri: str, expected: bool
) -> None:
    assert is_outage(make(), uri) is expected
