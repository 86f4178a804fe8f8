"""A first look at a folder of tar shards: which field has the label, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config.data_sections import Data
from thaw.errors import ThawError
from thaw.ingest.listing import Fields
from thaw.ingest.shard_index import index_shard
from thaw.ingest.sources import list_images

if TYPE_CHECKING:
    from thaw.ingest.listing import Listing

# Fields that usually have the label; those of JSON are tried with these keys.
_LABEL_FIELDS = (
    "cls",
    "txt",
    *(f"json.{key}" for key in ("label", "class", "cls", "category", "label.name", "class_name")),
)


def list_local_shards(folder: Path) -> tuple[Data, Listing]:
    """Return the section ``data`` for the tar files in ``folder``, and the listing of all samples.

    Headers and labels are read, and no image.

    Raises:
        ThawError: no sample of the first shard has a label in a usual field, or only the names of
            some shards state a split.
    """
    first = min(folder.rglob("*.tar"))
    path = str(folder)
    data = Data(source="webdataset", path=path, root=path, label_field=_label_field(first))
    found = list_images(data, Path())
    assert found.shards is not None
    for name, split in zip(found.shards.names, found.shards.splits, strict=True):
        index = index_shard(folder / name, name, found.shards.fields, split)
        for sample in index.samples:
            found.shards.add(sample)
        found.bad_files += index.bad_files
        found.classes = sorted({*found.classes, *(sample.label for sample in index.samples)})
    found.notes.append(f"labels are in the field {data.label_field}")
    return data, found


def _label_field(shard: Path) -> str:
    """Return the first usual field that is the label of the most samples in ``shard``."""
    found = {name: index_shard(shard, shard.name, Fields(name, ""), None) for name in _LABEL_FIELDS}
    best = max(found, key=lambda name: len(found[name].samples))
    if found[best].samples:
        return best
    reasons = [bad.reason for bad in found[best].bad_files[:1]]
    raise ThawError(
        f"--images: {shard}: no field with labels is found ({', '.join(_LABEL_FIELDS)}"
        f"{'; ' if reasons else ''}{''.join(reasons)}): create the project without --images and "
        "set data.source: webdataset, data.path and data.label_field (docs/large_data.md)"
    )
