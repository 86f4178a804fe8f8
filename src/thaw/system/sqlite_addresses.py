"""Addresses of SQLite databases, as SQLAlchemy reads them: ``sqlite:///PATH?OPTIONS``.

SQLAlchemy decodes percent signs in the path and ends it at a question mark.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

PREFIX = "sqlite:///"


def is_sqlite(address: str) -> bool:
    """Return whether ``address`` is that of a database in a file."""
    return address.startswith(PREFIX)


def address_of(path: Path) -> str:
    """Return the address of the database ``path``."""
    return PREFIX + str(path).replace("%", "%25").replace("?", "%3F")


def path_of(address: str) -> Path:
    """Return the path of the database with the SQLite ``address``."""
    return Path(unquote(address.removeprefix(PREFIX).partition("?")[0]))
