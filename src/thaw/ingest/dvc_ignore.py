"""The part of ``.dvcignore`` that names the entries of the data which DVC cannot read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ProblemsError
from thaw.ingest.dvc_obstacles import find_obstacles
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw.config.data_sections import Data
    from thaw.ingest.dvc_obstacles import Obstacle

FILE = Path(".dvcignore")
_START = "# Entries of the data that DVC cannot read. `thaw check` writes these lines."
_END = "# End of the lines that `thaw check` writes"
# Python reads bytes of a name that are not UTF-8 as these characters, which no text file can hold.
_FIRST_OF_BYTES, _LAST_OF_BYTES = "\udc80", "\udcff"
_OF_BYTES = "[! -\ud7ff\ue000-\U0010ffff]"  # all but the others
_OF_CONTROL = '[!"-\U0010ffff]'  # line ends, tabs, spaces
_SPECIAL = re.compile(r"([\\*?\[\]!#])")


def name_obstacles(data: Data) -> list[Obstacle]:
    """Name the entries of the data that DVC cannot read in ``.dvcignore``; return them.

    Entries that were named before and can be read now are removed from it. Without this file, DVC
    would stop before the stage prepare starts, which lists such entries or leaves them out.

    Raises:
        ProblemsError: there are such entries outside of the project, where the file has no effect.
    """
    obstacles = [each for root in _folders(data) for each in find_obstacles(root)]
    outside = [each for each in obstacles if not _is_inside(Path(each.path))]
    if outside:
        raise ProblemsError(
            "DVC cannot read these entries and stops at them; .dvcignore has no effect outside of "
            "the project",
            [each.line for each in outside],
            "remove them; or make a link in the project to the folder (ln -s FOLDER data/images), "
            "set data.path and data.root to the link, and run `thaw check`",
        )
    before = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    after = _with_patterns(before, [pattern(Path(each.path)) for each in obstacles])
    if after != before:
        write_whole(FILE, after.encode())
    return obstacles


def outdated(data: Data) -> bool:
    """Return whether ``.dvcignore`` names other entries than those that DVC cannot read."""
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    obstacles = [Path(each.path) for root in _folders(data) for each in find_obstacles(root)]
    patterns = [pattern(path) for path in obstacles if _is_inside(path)]
    return _with_patterns(text, patterns) != text


def pattern(path: Path) -> str:
    r"""Return the line of ``.dvcignore`` that names a ``path`` inside of the project.

    Characters that a line cannot hold, and spaces at its end, are replaced by a range that contains
    few others. Example: ``data/raw/a b*.png`` -> ``/data/raw/a b\*.png``.
    """
    inside = Path(os.path.abspath(path)).relative_to(Path.cwd()).as_posix()  # noqa: PTH100
    escaped = _SPECIAL.sub(r"\\\1", inside)
    stripped = escaped.rstrip(" ")
    spaces = _OF_CONTROL * (len(escaped) - len(stripped))
    return "/" + "".join(map(_as_text, stripped)) + spaces


def _as_text(char: str) -> str:
    if char.isprintable():
        return char
    if _FIRST_OF_BYTES <= char <= _LAST_OF_BYTES:
        return _OF_BYTES
    return _OF_CONTROL if char <= " " else "?"  # Unicode has further line ends


def _with_patterns(text: str, patterns: Iterable[str]) -> str:
    """Return the text of ``.dvcignore`` with ``patterns`` in place of those that it names."""
    others = re.sub(f"(?ms)^{re.escape(_START)}$.*?^{re.escape(_END)}$\n?", "", text)
    lines = sorted(set(patterns))
    if not lines:
        return others
    separator = "" if not others or others.endswith("\n") else "\n"
    return others + separator + "\n".join([_START, *lines, _END]) + "\n"


def _folders(data: Data) -> list[Path]:
    """Return the folders on which the stage prepare depends; none inside of another one."""
    folders = sorted({Path(data.path), Path(data.root)})
    found = [folder for folder in folders if folder.is_dir()]
    return [folder for folder in found if not any(above in folder.parents for above in found)]


def _is_inside(path: Path) -> bool:
    """Return whether ``path`` is written as a path below the project; links are not followed."""
    return Path(os.path.abspath(path)).is_relative_to(Path.cwd())  # noqa: PTH100
