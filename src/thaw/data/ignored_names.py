"""Names of files and folders that systems and programs add beside images: none is a class."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# All names in lower case; the comparison ignores case.
_FOLDERS = frozenset(
    {
        "@eadir", "@__thumb", "@recycle", "@recently-snapshot", "@sharebin", "@synoresource",
        "@tmp", "#recycle", "#snapshot",  # network storage: Synology, QNAP
        "thumbnails", "thumbnail",
        "__macosx", "lost+found", "$recycle.bin", "recycler", "system volume information",
        "__pycache__", "_vti_cnf", "_vti_pvt", "~snapshot",
        "network trash folder", "temporary items", "thevolumesettingsfolder", "resource.frk",
        "dfsrprivate", "wpsettings", "_gsdata_", "sync.cache",
    }
)  # fmt: skip
_FOLDERS_IN_A_CLASS = frozenset({"thumb", "thumbs"})  # as a folder of a class: a finger
# Recovered fragments (found.000); thumbs or thumbnails between other signs (_thumbs, __thumb__).
_FOLDER_FORMS = re.compile(
    r"found\.\d{3}|[_@~#]+thumb(s|nail|nails)?[_@~#]*|thumb(s|nails?)[_@~#]+"
)
_FILES = frozenset(
    {
        "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "zbthumbnail.info", "desktop.ini",
        "icon\r", "picasa.ini",
    }
)  # fmt: skip


def ignored_folder(name: str, *, in_class: bool) -> bool:
    """Return whether a visible folder is one of a system or program.

    ``in_class`` states that it is inside of a class folder, not one itself.
    """
    folded = name.strip().casefold()
    if folded in _FOLDERS or _FOLDER_FORMS.fullmatch(folded):
        return True
    return in_class and folded in _FOLDERS_IN_A_CLASS


def ignored_file(name: str) -> bool:
    """Return whether a visible file is one of a system or program."""
    return name.casefold() in _FILES


def ignored_part(parts: Sequence[str], *, in_class: bool) -> str | None:
    """Return the kind of files that are not read at the path ``parts``; None if they are read.

    The last part is the file.
    """
    if any(part.startswith(".") for part in parts):
        return "hidden files and folders"
    for folder in parts[:-1]:
        if ignored_folder(folder, in_class=in_class):
            return f"files in folders {folder}"
    return parts[-1].strip() if ignored_file(parts[-1]) else None
