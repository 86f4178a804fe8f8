"""Paths to files that do not exist: whether a file is there under a similar spelling."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from thaw.data.decoding import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_AROUND = " \t\u00a0\"'\u201c\u201d\u201e\u00ab\u00bb"  # white space and kinds of quotes


def _with_extension(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: (parts := os.path.splitext(text))[0] + change(parts[1])  # noqa: PTH122


def _appended(end: str, text: str) -> str:
    return text + end


_SPELLINGS: dict[str, Callable[[str], str]] = {
    "without the spaces or quotes around it": lambda text: text.strip(_AROUND),
    "with / in place of \\": lambda text: text.replace("\\", "/"),
    "without percent encoding": unquote,
    "without file://": lambda text: unquote(urlsplit(text).path),
    "in full, without ~ and variables": lambda text: os.path.expandvars(Path(text).expanduser()),
    "with its extension in lower case": _with_extension(str.lower),
    "with its extension in upper case": _with_extension(str.upper),
    **{
        f"with the extension {extension}": partial(_appended, extension) for extension in EXTENSIONS
    },
}


def similar_spelling(path: str, folder: Path) -> str:
    """Return what to write in place of ``path``, which does not exist below ``folder``.

    The text is empty, or begins with ": " and continues a message. It names no file, so that
    messages about many files of one kind are equal.
    """
    if _ADDRESS.match(path):
        return ": this is an address, and thaw reads files: download it and write its path"
    for how, change in _SPELLINGS.items():
        try:
            changed = change(path)
            if path and changed and changed != path and (folder / changed).exists():
                return f": it exists if it is written {how}"
        except (OSError, ValueError, RuntimeError):  # a path that no file can have; no home
            continue
    return ""
