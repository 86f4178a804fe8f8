"""The folder of a new project: whether it is suitable, and its removal if it is not used."""

from __future__ import annotations

import contextlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system.missing_project import surrounding_project
from thaw.system.project_paths import PARAMS_FILE, PIPELINE, TOOL_LOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MARKS = (PARAMS_FILE, PIPELINE, TOOL_LOCK, Path(".dvc"))
# Entries beside which a project is expected: of a fresh repository, and the folders of a project.
_EXPECTED = {
    "readme", "license", "licence", "copying", "data", "mlruns", "models", "reports", "venv", "env",
    "requirements", "notebooks",
}  # fmt: skip
_MOST_NAMED = 5


def refuse_project(folder: Path) -> None:
    """Raise if ``folder`` is a project already, or no folder.

    Raises:
        ThawError: it is one.
    """
    if folder.exists() and not folder.is_dir():
        raise ThawError(f"{folder} is not a folder: give the name of a new one")
    if marks := [str(path) for path in _MARKS if (folder / path).exists()]:
        raise ThawError(
            f"{folder} is a project already (it has {', '.join(marks)}): choose another folder, "
            "or run `thaw upgrade` in it"
        )


def refuse_nested(folder: Path) -> None:
    """Raise if ``folder`` is inside of a project.

    Raises:
        ThawError: names the project.
    """
    above = surrounding_project(folder)
    # The README begins in a clone of thaw, where the package may be installed elsewhere.
    if above is not None and not (above / "src/thaw").is_dir():
        raise ThawError(
            f"{folder} is inside of the project {above}, whose git and DVC would see its files: "
            "choose a folder outside"
        )


def refuse_other_files(folder: Path, images: Path | None) -> None:
    """Raise if ``folder`` holds files that do not belong to a new project.

    ``images`` may be inside. Hidden files do not count.

    Raises:
        ThawError: names the files.
    """
    own = images.relative_to(folder).parts[:1] if images and images.is_relative_to(folder) else ()
    others = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in own
        and not entry.name.startswith(".")
        and entry.stem.casefold() not in _EXPECTED
    )
    if others:
        more = len(others) - _MOST_NAMED
        names = ", ".join(others[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        raise ThawError(
            f"{folder} holds other files ({names}): give the name of a new folder, or add "
            "--existing to create the project beside them"
        )


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Create ``folder`` where it does not exist; remove it again if it is empty at the end."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()


@contextmanager
def removed_on_failure(paths: Iterable[Path]) -> Iterator[None]:
    """Remove those of ``paths`` that did not exist before, and their folders, after an error.

    A half-written project would be refused by the next ``thaw init``.
    """
    new = [path for path in paths if not os.path.lexists(path)]
    folders = {parent for path in new for parent in path.parents if not parent.exists()}
    try:
        yield
    except BaseException:
        for path in new:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for folder in sorted(folders, reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
