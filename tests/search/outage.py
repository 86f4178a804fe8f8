"""A database of studies whose server goes away for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_ASKED = 3  # how often the server is asked before it answers again


class DriverError(Exception):
    """An error of a driver for PostgreSQL, which knows the SQLSTATE of the server."""

    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class Outage:
    """The statements on ``storage`` fail from :meth:`begin` until someone has asked three times."""

    def __init__(self, storage: RDBStorage) -> None:
        """Watch all statements on ``storage``."""
        self._left = 0
        event.listen(storage.engine, "before_cursor_execute", self._refuse)

    def begin(self) -> None:
        self._left = _ASKED

    def _refuse(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        if self._left == 0:
            return
        self._left -= statement == "SELECT 1"
        _refuse(statement)


def _refuse(statement: str) -> NoReturn:
    raise OperationalError(statement, {}, DriverError("terminating connection", "57P01"))
