"""Refuse addresses of databases that cannot be opened, before a stage trains for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from thaw.errors import ThawError, without_passwords
from thaw.system.console import warn
from thaw.system.project_paths import PARAMS_FILE
from thaw.system.sqlite_addresses import is_sqlite, path_of

if TYPE_CHECKING:
    from thaw.config.params import Params

_HEADER = b"SQLite format 3\0"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_IN_MEMORY = (":memory:", "mode=memory")  # names of SQLite
_BUCKETS = ("s3", "gs")
_BY_PROFILE = ("databricks", "databricks-uc")  # also without a host: that of the user's profile
_SERVERS = ("http", "https", *_BY_PROFILE, "uc")


def refuse_unusable_stores(params: Params) -> None:
    """Raise if the address of the MLflow store or of the studies cannot be used.

    Servers are not asked.

    Raises:
        ThawError: a line for each such address.
    """
    from_environment = os.environ.get("MLFLOW_TRACKING_URI", "")
    tracking = params.tracking.uri or from_environment
    name = "tracking.uri" if params.tracking.uri else "the variable MLFLOW_TRACKING_URI"
    allows_folder = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in {"1", "true"}
    found = {
        name: address_problem(tracking, (*_DATABASES, *_SERVERS), allows_folder=allows_folder),
        "search.storage": address_problem(params.search.storage, _DATABASES),
        "search.artifacts": _artifacts_problem(params.search.artifacts),
    }
    if lines := [f"{PARAMS_FILE}: {key}: {problem}" for key, problem in found.items() if problem]:
        raise ThawError("\n".join(lines))


def warn_of_passwords(params: Params) -> None:
    """Warn of an address in ``params`` that contains a password or a token."""
    remedies = {
        "tracking.uri": (params.tracking.uri, "MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD"),
        "search.storage": (params.search.storage, "PGPASSWORD or ~/.pgpass"),
        "search.artifacts": (params.search.artifacts, "the variables of the store"),
    }
    for key, (address, remedy) in remedies.items():
        if without_passwords(address) != address:
            warn(
                f"{PARAMS_FILE}: {key} contains a password, and the file is committed: "
                f"use {remedy}, and change the password"
            )


def address_problem(
    address: str, schemes: tuple[str, ...], *, allows_folder: bool = False
) -> str | None:
    """Return why ``address`` cannot be used, or None; "" is the default and can.

    ``schemes`` are the accepted ones, without a driver (``postgresql+psycopg``).
    """
    if not address or (address in _BY_PROFILE and address in schemes):
        return None
    if is_sqlite(address) and any(sign in unquote(address) for sign in _IN_MEMORY):
        return "such a database ends with each process: write sqlite:///FILE.db"
    if is_sqlite(address):
        return _file_problem(path_of(address))
    try:
        parts = urlsplit(address)
    except ValueError as error:
        return f"{_short(address)} is no address: {error}"
    scheme = parts.scheme.partition("+")[0]
    if scheme in {"", "file"} and allows_folder:
        return None
    if scheme not in schemes:
        return f"{_short(address)} is no address of {', '.join(schemes)}: write sqlite:///FILE.db"
    if scheme == "sqlite":
        return f"{_short(address)} names no file: write sqlite:///FILE.db"
    # A database may be found by the name or the options alone, on this machine.
    is_local = scheme in _DATABASES and "://" in address and (parts.path.strip("/") or parts.query)
    if not parts.netloc and not is_local and scheme not in (*_BY_PROFILE, "uc"):
        return f"{_short(address)} names no host: write {scheme}://HOST"
    return None


def _artifacts_problem(address: str) -> str | None:
    """Return why ``address`` cannot be a store of heads, or None; "" is none and can."""
    if "://" not in address:
        path = Path(address)
        return f"{_short(address)} is a file: name a folder" if path.is_file() else None
    try:
        parts = urlsplit(address)
    except ValueError as error:
        return f"{_short(address)} is no address: {error}"
    if parts.scheme not in _BUCKETS or not parts.netloc or parts.path.strip("/") or parts.query:
        return f"{_short(address)} is no bucket: write s3://BUCKET, gs://BUCKET or a folder"
    return None


def _file_problem(path: Path) -> str | None:
    """Return why ``path`` cannot be an SQLite database, or None."""
    if not path.name:
        return "it names no file: write sqlite:///FILE.db"
    try:
        if path.is_dir():
            return f"{path} is a folder: name a file in it, such as {path / 'mlflow.db'}"
        if path.exists():
            with path.open("rb") as stream:
                head = stream.read(len(_HEADER))
            return None if head in {b"", _HEADER} else f"{path} is not an SQLite database"
        parent = next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:
        return f"{_short(str(path))} cannot be read: {error.strerror}; name another file"
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        return f"{path} cannot be created: {parent} is not a folder that you may write to"
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
