"""Relations between paths, as the file system knows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thaw.system.mounts import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Relation = Literal["is", "is inside", "contains"]


def relation_of(first: Path, second: Path) -> Relation | None:
    """Return the relation of ``first`` to ``second``; None if neither contains the other.

    Links are followed. Folders are compared by their identity in the file system, because one
    folder may have two paths: by a bind mount, also of a folder inside of ``second``, or in
    another case where case is ignored.
    """
    one, other = (Path(os.path.realpath(path)) for path in (first, second))
    if _is_same(one, other):
        return "is"
    if any(_is_same(parent, other) for parent in one.parents):
        return "is inside"
    if any(_is_same(one, parent) for parent in other.parents):
        return "contains"
    place, other_place = place_of(one), place_of(other)
    if place is None or other_place is None or place.disk != other_place.disk:
        return None
    if place.path.is_relative_to(other_place.path):
        return "is" if place == other_place else "is inside"
    return "contains" if other_place.path.is_relative_to(place.path) else None


def folders_around(path: Path) -> Iterator[Path]:
    """Yield the folders that contain ``path`` under any of the names that links on it give it."""
    pending, seen = [path, Path(os.path.realpath(path))], set[Path]()
    while pending:
        name = Path(os.path.abspath(pending.pop()))  # noqa: PTH100  (links stay)
        if name in seen:
            continue
        seen.add(name)
        yield from name.parents
        links = (part for part in (name, *name.parents) if part.is_symlink())
        pending += [link.parent / link.readlink() / name.relative_to(link) for link in links]


def described(path: Path) -> str:
    """Return ``path`` as it was given, with the real path if links lead to another one."""
    real = os.path.realpath(path)
    folder = os.path.realpath(Path.cwd())
    plain = real in {os.path.normpath(path), os.path.normpath(os.path.join(folder, path))}  # noqa: PTH118
    return str(path) if plain else f"{path} ({real})"


def _is_same(one: Path, other: Path) -> bool:
    if one == other:
        return True
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False
