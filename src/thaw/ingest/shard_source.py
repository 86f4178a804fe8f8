"""A source of labelled images: tar shards of the `webdataset` format, here or on an object store.

The samples are not known before the shards are read: the listing is filled while they are packed.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.ingest.listing import Fields, Listing, Shards
from thaw.ingest.sample_table import SampleTable
from thaw.ingest.shard_files import shard_names
from thaw.ingest.split_spelling import resolve_splits, spelling_of
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.config.data_sections import Data
    from thaw.data.split_names import SplitName


def list_shards(data: Data) -> Listing:
    """List the shards that ``data.path`` names; the samples are listed while they are packed.

    Raises:
        ThawError: ``data.path`` does not exist or names no shards, or some shards name a split and
            others do not.
    """
    path = Path(data.path)
    if not path.exists():
        raise ThawError(
            f"data.path: there is no {path}: set it to a folder of .tar files, or to a text file "
            "that lists them"
        )
    names = shard_names(path)
    splits: Sequence[SplitName | None] = [None] * len(names)
    if not data.split_field:
        splits = _splits(path, names)
    samples, fields = SampleTable(), Fields(data.label_field, data.split_field)
    listing = Listing(path if path.is_dir() else path.parent, samples, [])
    starts = _starts(listing.root, names)
    listing.shards = Shards(names, fields, splits, samples.append, starts)
    listing.notes.append(quantity(len(names), "shard"))
    return listing


def _starts(root: Path, names: Sequence[str]) -> list[int]:
    """Return the number of bytes before each shard and that of all; none if one is not here."""
    try:
        return [0, *accumulate((root / name).stat().st_size for name in names)]
    except OSError:  # an address, or a file whose absence is found when it is read
        return []


def _splits(path: Path, names: Sequence[str]) -> list[SplitName | None]:
    """Return the split that the name of each shard states; None for all if none states one."""
    found = [spelling_of(PurePosixPath(name).stem) for name in names]
    kinds = [None if each is None or each.short else each.kind for each in found]
    stated = [kind for kind in kinds if kind]
    if not stated:
        return [None] * len(names)
    if len(stated) < len(names):
        without, named = names[kinds.index(None)], names[kinds.index(stated[0])]
        raise ThawError(
            f"data.path: {path}: the shard {named} names a split, {without} does not: rename the "
            "shards, or set data.split_field"
        )
    try:
        splits = resolve_splits(stated)
    except ValueError as error:
        raise ThawError(
            f"data.path: {path}: the names of the shards mean {error}: rename the shards, or set "
            "data.split_field"
        ) from None
    return [splits[kind] for kind in stated]
