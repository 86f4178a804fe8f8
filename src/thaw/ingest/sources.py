"""Sources of labelled images: class folders, a CSV file, tar shards, public data sets, digits.

To add a source, write a function that returns a :class:`Listing`, add it to ``SOURCES``, and add
its name to ``SourceKind`` in ``config/source_names.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thaw.ingest import hub_files, hub_sets, torchvision_sets
from thaw.ingest.csv_source import list_csv
from thaw.ingest.folder_source import list_folder
from thaw.ingest.shard_source import list_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thaw.config.data_sections import Data
    from thaw.ingest.listing import Listing


def list_images(config: Data, scratch: Path) -> Listing:
    """List the images of the source ``config``.

    ``scratch`` is the folder for the files of sources that have none; they are written there.

    Raises:
        ThawError: a folder or file of the source is missing or unreadable.
    """
    return source_of(config).list_images(config, scratch)


def list_digits(folder: Path) -> Listing:
    """Write the digits into ``folder`` and list them."""
    write_digits(folder)
    return list_folder(folder)


def write_digits(folder: Path) -> None:
    """Write scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as ``LABEL/INDEX.png``.

    Source: UCI Optical Recognition of Handwritten Digits, test part (Alpaydin & Kaynak 1998).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    for label in np.unique(digits.target):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
    for index, (image, label) in enumerate(zip(pixels, digits.target, strict=True)):
        path = folder / str(label) / f"{index:04d}.png"
        path.unlink(missing_ok=True)  # a link would be written through
        Image.fromarray(image).save(path)


def _list_folder(data: Data, _: Path) -> Listing:
    return list_folder(Path(data.path), data.layout, follow_links=data.follow_links)


def _list_csv(data: Data, _: Path) -> Listing:
    listing = list_csv(Path(data.path), Path(data.root))
    return replace(listing, follow_links=data.follow_links)


def _list_torchvision(data: Data, scratch: Path) -> Listing:
    return torchvision_sets.list_torchvision(data.source, Path(data.path), scratch)


def _list_hub(data: Data, scratch: Path) -> Listing:
    return hub_sets.list_hub(data.source, Path(data.path), scratch)


@dataclass(frozen=True)
class Source:
    """A kind of source: the keys of section ``data`` that it reads, and how it lists its images."""

    keys: tuple[str, ...]
    list_images: Callable[[Data, Path], Listing]


SOURCES: Mapping[str, Source] = {
    "digits": Source((), lambda _, scratch: list_digits(scratch / "digits")),
    "folder": Source(("path",), _list_folder),
    "csv": Source(("path", "root"), _list_csv),
    torchvision_sets.PREFIX: Source(("path",), _list_torchvision),
    hub_files.PREFIX: Source(("path",), _list_hub),
    "webdataset": Source(("path",), lambda data, _: list_shards(data)),
}


def source_of(data: Data) -> Source:
    """Return the kind of source that ``data.source`` names.

    Raises:
        ThawError: it names a public data set that does not exist, or in another form.
    """
    kind, colon, _ = data.source.partition(":")
    if kind + colon == torchvision_sets.PREFIX:
        torchvision_sets.refuse_unknown(data.source)
    if kind + colon == hub_files.PREFIX:
        hub_sets.Address.parse(data.source)
    return SOURCES[kind + colon]
