"""A first look at a folder with a data set in the formats of the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config.data_sections import Data
from thaw.errors import ThawError
from thaw.ingest.hub_files import LOCAL, PREFIX
from thaw.ingest.hub_sets import ColumnsError, list_labels

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
    except ColumnsError as error:
        raise ThawError(
            f"--images: {error}; to choose a column, create the project without --images and set "
            f"data.source to {PREFIX}{LOCAL}#COLUMN, and data.path and data.root to {folder}"
        ) from None
    except ThawError as error:
        raise ThawError(f"--images: {error}") from None
    found.notes.append("read by the package datasets: Parquet, save_to_disk, or a metadata table")
    return data, found
