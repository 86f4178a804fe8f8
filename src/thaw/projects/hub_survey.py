"""A first look at a folder with a data set in the formats of the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config.data_sections import Data
from thaw.errors import ThawError
from thaw.ingest.hub_files import LOCAL, PREFIX
from thaw.ingest.hub_sets import list_labels

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.ingest.listing import Listing


def list_local_hub(folder: Path) -> tuple[Data, Listing]:
    """Return the section ``data`` for the data set in ``folder``, and the listing of its labels.

    Raises:
        ThawError: the package ``datasets`` is not installed or cannot read the files, or there is
            not one column of images and one of classes.
    """
    path = str(folder)
    data = Data(source=f"{PREFIX}{LOCAL}", path=path, root=path)
    try:
        found = list_labels(data.source, folder)
    except ThawError as error:
        if isinstance(error.__cause__, ImportError):
            raise ThawError(f"--images: {error}") from None
        raise ThawError(
            f"--images: {error}; to choose a column, create the project without --images and set "
            f"data.source: {PREFIX}{LOCAL}#COLUMN, data.path and data.root"
        ) from None
    found.notes.append("read by the package datasets: Parquet, save_to_disk, or a metadata table")
    return data, found
