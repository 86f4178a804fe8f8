"""The two upper levels of a folder of images, without files and folders of systems."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.data.decoding import EXTENSIONS
from thaw.data.ignored_names import ignored_folder
from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """A folder at the top: the names of its folders, sorted, and whether it holds images itself."""

    path: Path
    subfolders: tuple[str, ...]
    has_images: bool

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.name


def top_folders(root: Path) -> list[Folder]:
    """Return the folders in ``root``, sorted by name.

    Raises:
        ThawError: a folder cannot be read.
    """
    return [
        Folder(
            root / name,
            tuple(folder_names(root / name, in_class=True)),
            any(_image_names(root / name)),
        )
        for name in folder_names(root)
    ]


def folder_names(parent: Path, *, in_class: bool = False) -> list[str]:
    """Return the names of the visible folders in ``parent``, sorted, without those of systems.

    ``in_class`` states that they are inside of a class folder, not class folders.

    Raises:
        ThawError: ``parent`` cannot be read.
    """
    return sorted(
        entry.name
        for entry in _entries(parent)
        if _is_folder(entry) and not ignored_folder(entry.name, in_class=in_class)
    )


def _image_names(parent: Path) -> Iterator[str]:
    for entry in _entries(parent):
        if entry.name.lower().endswith(EXTENSIONS) and not _is_folder(entry):
            yield entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _entries(parent: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of ``parent`` that are not hidden; they know their kind without a look."""
    try:
        with os.scandir(parent) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise ThawError(
            f"{error.filename} cannot be read: {error.strerror}; make it readable for this user, "
            "or move it out of the data"
        ) from None
