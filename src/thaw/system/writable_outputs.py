"""Find out before a long computation whether its file can be written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from thaw.errors import ThawError


def refuse_unwritable(out: Path, option: str) -> None:
    """Raise if no file can be created in the folder of ``out``; nothing stays of the attempt.

    Where the folder does not exist yet, the nearest one above it counts.

    Raises:
        ThawError: names ``option``, the folder and the reason of the system.
    """
    folder = Path()
    try:
        folder = next(each for each in out.absolute().parents if each.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ThawError(
            f"{option}: {out}: no file can be created in {folder}: {error.strerror}: give another "
            "path"
        ) from None
