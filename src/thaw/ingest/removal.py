"""Empty the folder of the prepared data: remove files of thaw, refuse to remove others."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.data import manifest, packed_store
from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 5
_DIGIT = re.compile(r"digits/\d/\d{4}\.png")
_DIGIT_SIZE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (8).to_bytes(4, "big") * 2
_NAMES = {manifest.FILE, packed_store.INDEX, packed_store.SETTINGS, "images.raw", "images.jpeg"}
_PART = re.compile(rf"\.({'|'.join(map(re.escape, sorted(_NAMES)))})\.\d+\.part")
_FILE_BROWSER_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}


def clear(folder: Path) -> None:
    """Remove the files that thaw wrote into ``folder``; create the folder if it does not exist.

    Raises:
        ThawError: ``folder`` is a link or contains other files. Nothing was removed.
    """
    refuse_foreign_files(folder)
    try:
        for path in _files(folder):
            if _is_own(folder, path):
                path.unlink()
        for parent, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # a file that was created meanwhile is kept
                Path(parent).rmdir()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ThawError(f"{folder} cannot be emptied: {error.filename}: {error.strerror}") from None


def refuse_foreign_files(folder: Path) -> None:
    """Raise if the stage prepare must not empty ``folder``.

    Raises:
        ThawError: it is a link, not a folder, or contains files that thaw did not write.
    """
    if folder.is_symlink():
        raise ThawError(
            f"{folder} is a link to {os.path.realpath(folder)}, and the stage prepare removes the "
            "files in it: delete the link"
        )
    if folder.exists() and not folder.is_dir():
        raise ThawError(f"{folder} is not a folder, but the stage prepare writes there: move it")
    foreign = sorted(str(path) for path in _files(folder) if not _is_own(folder, path))
    if foreign:
        count = f"{len(foreign)} file{'s' * (len(foreign) != 1)}"
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise ThawError(
            f"{folder} contains {count} that thaw did not write, and the stage prepare "
            f"empties the folder: {', '.join(foreign[:_SHOWN])}{more}; move them to a folder of "
            "their own (data/raw)"
        )


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below ``folder``, and links to folders without following them."""

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise ThawError(f"{error.filename} cannot be read: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=fail):
        yield from (Path(parent, name) for name in files)
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())


def _is_own(folder: Path, path: Path) -> bool:
    """Return whether thaw or a file browser wrote ``path``."""
    inside = path.relative_to(folder).as_posix()
    if inside in _NAMES or _PART.fullmatch(inside) or path.name in _FILE_BROWSER_FILES:
        return not path.is_dir()
    if not _DIGIT.fullmatch(inside) or path.is_dir():
        return False
    # A user's photograph may have such a name, but a digit has 8 x 8 pixels. A killed stage leaves
    # a shorter file.
    with path.open("rb") as stream:
        start = stream.read(len(_DIGIT_SIZE))
    return _DIGIT_SIZE.startswith(start)
