"""Addresses of SQLite databases, as SQLAlchemy reads them: ``sqlite:///PATH?OPTIONS``.

SQLAlchemy decodes percent signs in the path and ends it at a question mark.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote

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


def read_only_address(path: Path) -> str:
    """Return the address with which the database ``path`` is read, also where nothing is writable.

    Without a log file no process writes it now, and SQLite needs no file beside it for its locks.
    """
    immutable = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    # SQLAlchemy decodes the path once, and SQLite the result again.
    return f"{PREFIX}file:{quote(quote(str(path)))}?mode=ro{immutable}&uri=true"


def may_write(path: Path) -> bool:
    """Return whether this user may write the database ``path``, its lock file and its folder."""
    needed = (path.parent, path, path.with_suffix(".lock"))
    return all(os.access(one, os.W_OK) for one in needed if one.exists())
