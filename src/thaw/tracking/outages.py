"""Distinguish a store that does not answer for a while from one with wrong settings."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from google.protobuf.json_format import ParseError
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What SQLite says while another process writes for longer than MLflow waits (20 s).
_LOCKED = ("database is locked", "database table is locked", "database is busy")
# What MLflow's client raises when a store fails, or answers what it cannot read.
STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError, ParseError)
_NO_ANSWER = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})


class StoreOutageError(ThawError):
    """The store does not answer now, and may answer later without a change of the parameters."""


def is_outage(error: BaseException, uri: str) -> bool:
    """Return whether ``error`` of the store at ``uri`` can pass without a change by the user.

    That is so for a server that cannot be reached, does not answer in time, or answers with an
    error of its own or with what MLflow cannot read, and for a database file that another process
    locks. It is not so for a server that refuses a request.
    """
    if uri.startswith("sqlite:"):
        texts = [str(each) for each in _chain(error)]
        return any(sign in text for sign in _LOCKED for text in texts)
    if isinstance(error, MlflowException):
        return error.error_code in _NO_ANSWER
    if isinstance(error, ParseError):
        return True
    if isinstance(error, SQLAlchemyError):
        return isinstance(error, OperationalError)
    return isinstance(error, OSError) and error.errno not in {errno.EACCES, errno.EROFS}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
