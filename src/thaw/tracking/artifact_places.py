"""The places of artifacts that a local MLflow store holds, which are absolute.

A store in FOLDER keeps the artifacts of the experiment NAME in ``FOLDER/artifacts/NAME``.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

_ARTIFACTS = "artifacts"
_FILE = "file:"


def place_of_experiment(folder: Path, name: str) -> str:
    """Return the address of the artifacts of an experiment that thaw creates in a local store."""
    return (folder / _ARTIFACTS / quote(name, safe="")).resolve().as_uri()


def folder_of_experiment(name: str, place: str, *, is_made_by_thaw: bool) -> Path | None:
    """Return the folder of the store in which thaw created the experiment ``name`` at ``place``.

    None if ``place`` has another form. An experiment that thaw marked may have been renamed; early
    versions did not mark theirs, but gave them the same places.
    """
    folder, found, last = place.rpartition(f"/{_ARTIFACTS}/")
    origin = path_of(folder) if found and last and "/" not in last else None
    if origin is None or is_made_by_thaw or place == place_of_experiment(origin, name):
        return origin
    return None


def path_of(place: str) -> Path | None:
    """Return the path of ``place``, a path or the address of a file; None for other addresses."""
    if place.startswith("/"):
        return Path(place)
    if not place.startswith(_FILE):
        return None
    return Path(unquote(urlsplit(place).path))


def place_below(place: str, old: Path, new: Path) -> str | None:
    """Return ``place`` with its folder ``old`` replaced by ``new``; None if it is not below it."""
    for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
        if place == before or place.startswith(f"{before}/"):
            return after + place.removeprefix(before)
    return None
