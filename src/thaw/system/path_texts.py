"""Paths and names that can be written as text: into files, and into the MLflow store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_undecodable(path: Path, what: str) -> None:
    """Raise if the whole path of ``path`` is not text that UTF-8 can hold.

    Python reads bytes of a name that do not follow the encoding of the environment as surrogates,
    which no text file can hold. ``what`` names the path in the message.

    Raises:
        ThawError: it is not.
    """
    whole = os.path.abspath(path)  # noqa: PTH100  (links stay)
    try:
        whole.encode()
    except UnicodeEncodeError:
        raise ThawError(
            f"{what} {whole!a} has bytes that are not valid text in the encoding of "
            "this environment: rename the folder or file; or, if other programs show its name as "
            "it should be, set LC_ALL=C.UTF-8 and do not set PYTHONUTF8=0"
        ) from None


def refuse_undecodable_text(text: str, what: str) -> None:
    """Raise if ``text`` of the command line is not text that UTF-8 can hold, as the store needs it.

    ``what`` names it in the message.

    Raises:
        ThawError: it is not.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ThawError(
            f"{what} {text!a} has bytes that are not valid text in the encoding of this "
            "environment: correct it; or, if the terminal shows it as it should be, set "
            "LC_ALL=C.UTF-8 and do not set PYTHONUTF8=0"
        ) from None
