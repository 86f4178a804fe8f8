"""Correct the places of artifacts in a local MLflow store that was moved with its project.

MLflow stores absolute paths and has no call that changes them, so the database is written here.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from thaw.errors import ThawError
from thaw.system.quantities import quantity
from thaw.system.sqlite_addresses import is_sqlite
from thaw.system.sqlite_addresses import path_of as database_of
from thaw.system.storage_errors import reason, uncaught_failure
from thaw.tracking.artifact_places import folder_of_experiment, path_of, place_below
from thaw.tracking.store import CREATED_BY_THAW, store_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from thaw.config.result_sections import Tracking

_MODELS = ("logged_models", "model_versions")
# Table -> its columns that hold places of artifacts.
_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("storage_location", "source"),
}
_PATIENCE = 60.0  # seconds to wait for another process that writes


class _Change(NamedTuple):
    """A place to correct; ``row`` is SQLite's number of the row."""

    table: str
    column: str
    row: int
    old: str
    new: str


@dataclass(frozen=True)
class Relocation:
    """The corrections in the database of a moved store.

    Attributes:
        origins: The folders in which the store was before.
        folder: The folder in which it is now.
        changed: Number of corrected rows by table.
        missing: Folders of models that are neither at the old place nor here.
        backup: Copy of the database as it was before.
    """

    origins: Sequence[Path]
    folder: Path
    changed: dict[str, int]
    backup: Path
    missing: list[Path] = field(default_factory=list)


def relocate(tracking: Tracking) -> Relocation | None:
    """Replace the earlier folders of the store by the present one; None if it was not moved.

    Only places below a folder in which thaw created an experiment change, in one transaction. A
    copy of the database is made before. A store on a server has no such places.

    Raises:
        ThawError: files of the store are still at the old place, or no model is here, or the
            database cannot be written. Nothing was changed.
    """
    uri = store_uri(tracking)
    if not is_sqlite(uri) or not database_of(uri).exists():
        return None
    database = database_of(uri).resolve()
    try:
        with FileLock(database.with_suffix(".lock"), timeout=_PATIENCE):
            return _relocate(database)
    except (sqlite3.Error, OSError) as error:
        failure = uncaught_failure(error)
        failure = failure or (reason(error) if isinstance(error, OSError) else str(error))
        raise ThawError(
            f"tracking: the places in {database} cannot be corrected: {failure}; nothing was "
            "changed, so run `thaw repair` again"
        ) from error


def _relocate(database: Path) -> Relocation | None:
    folder = database.parent
    with closing(sqlite3.connect(database, timeout=_PATIENCE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # no other process writes until COMMIT
        origins = _origins(connection, folder)
        changes = [change for origin in origins for change in _changes(connection, origin, folder)]
        if not changes:
            return None
        _refuse_unclear(changes, folder)
        missing = _missing_models(changes)
        backup = _backup(database)
        for change in changes:
            connection.execute(
                f'UPDATE "{change.table}" SET "{change.column}" = ? WHERE rowid = ?',  # noqa: S608
                (change.new, change.row),
            )
        connection.execute("COMMIT")
    rows = {table: {one.row for one in changes if one.table == table} for table in _COLUMNS}
    changed = {table: len(found) for table, found in rows.items()}
    return Relocation(origins, folder, changed, backup, missing)


def _origins(connection: sqlite3.Connection, folder: Path) -> list[Path]:
    """Return the folders, other than ``folder``, of a store in which thaw made experiments."""
    query = (
        "SELECT name, artifact_location, EXISTS (SELECT 1 FROM experiment_tags AS t WHERE "
        "t.experiment_id = e.experiment_id AND t.key = ?) FROM experiments AS e"
    )
    found = set()
    for name, place, is_tagged in connection.execute(query, (CREATED_BY_THAW,)):
        if origin := folder_of_experiment(name, place or "", is_made_by_thaw=bool(is_tagged)):
            found.add(origin)
    return sorted(found - {folder})


def _changes(connection: sqlite3.Connection, origin: Path, folder: Path) -> Iterator[_Change]:
    for table, columns in _COLUMNS.items():
        present = {name for _, name, *_ in connection.execute(f'PRAGMA table_info("{table}")')}
        for column in present.intersection(columns):  # older versions of MLflow have not all
            for row, place in connection.execute(f'SELECT rowid, "{column}" FROM "{table}"'):  # noqa: S608
                if place and (new := place_below(place, origin, folder)):
                    yield _Change(table, column, row, place, new)


def _refuse_unclear(changes: Sequence[_Change], folder: Path) -> None:
    """Raise if the files of the store did not move with it.

    Raises:
        ThawError: a file is at the old place only, or there are models and none is here.
    """
    for change in changes:
        old, new = path_of(change.old), path_of(change.new)
        if old and new and _is_there(old) and not new.exists():
            raise ThawError(
                f"tracking: the database is in {folder}, but {old} is still at its old place: "
                f"move it to {new}, then run `thaw repair` again"
            )
    models = _models(changes)
    if models and not any(path.exists() for path in models):
        absent = quantity(len(models), "model is", "models are")
        raise ThawError(
            f"tracking: the database is in {folder}, but its {absent} not (the first: "
            f"{min(models)}): move their files there, then run `thaw repair` again"
        )


def _is_there(old: Path) -> bool:
    """Return whether an old place exists, as far as it can be read: it may be in another home."""
    try:
        return old.exists()
    except OSError:
        return False


def _missing_models(changes: Sequence[_Change]) -> list[Path]:
    return sorted(path for path in _models(changes) if not path.exists())


def _models(changes: Sequence[_Change]) -> set[Path]:
    """Return the new folders of models."""
    places = [path_of(change.new) for change in changes if change.table in _MODELS]
    return {path for path in places if path}


def _backup(database: Path) -> Path:
    """Copy the database to a new file beside it, and return that."""
    name = f"{database.name}.before-repair"
    numbers = itertools.count(2)
    target = database.with_name(name)
    while target.exists():
        target = database.with_name(f"{name}-{next(numbers)}")
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(part)) as copy:
        source.backup(copy)
    shutil.copymode(database, part)
    part.replace(target)
    return target
