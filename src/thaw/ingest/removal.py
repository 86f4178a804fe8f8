"""Remove the files of an earlier run from the folder of the prepared data, and no others."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from thaw.data import image_files, manifest, packed_store
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (manifest.FILE, packed_store.IMAGES, packed_store.INDEX, packed_store.SETTINGS)
_PART = re.compile(rf"\.({'|'.join(map(re.escape, NAMES))})\.\d+\.part")


def clear(folder: Path) -> None:
    """Remove the files that the stage prepare writes into ``folder``; other files stay.

    The folder is created if it does not exist.

    Raises:
        ThawError: ``folder`` cannot be an output of the stage prepare. Nothing was removed.
    """
    refuse_unusable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name in NAMES or _PART.fullmatch(path.name):
                image_files.remove(path)
    except OSError as error:
        raise ThawError(
            f"{folder} cannot be emptied: {error.filename}: {error.strerror}; give this user the "
            "right to write there, then `dvc repro`"
        ) from None


def refuse_unusable(folder: Path) -> None:
    """Raise if ``folder`` cannot be an output of the stage prepare.

    Raises:
        ThawError: it is a link or not a folder, or contains a folder with the name of an output.
    """
    if folder.is_symlink():
        raise ThawError(
            f"{folder} is a link to {os.path.realpath(folder)}, and the stage prepare removes "
            "files in it: delete the link"
        )
    if folder.exists() and not folder.is_dir():
        raise ThawError(f"{folder} is not a folder, but the stage prepare writes there: move it")
    for path in (folder / name for name in NAMES):
        is_of_thaw = path.name == packed_store.IMAGES and image_files.is_folder_of_shards(path)
        if path.is_dir() and not is_of_thaw:
            raise ThawError(f"{path} is a folder, but the stage prepare writes this file: move it")
