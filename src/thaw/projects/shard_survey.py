"""A first look at tar shards: which field has the label, and what is in them."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config.data_sections import Data
from thaw.errors import ThawError
from thaw.ingest.listing import Fields
from thaw.ingest.shard_files import local_shards, shard_names
from thaw.ingest.shard_index import index_shard
from thaw.ingest.sources import list_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.data.split_names import SplitName
    from thaw.ingest.listing import Listing

# Fields that usually have the label; those of JSON are tried with these keys.
_LABEL_FIELDS = (
    "cls",
    "txt",
    *(f"json.{key}" for key in ("label", "class", "cls", "category", "label.name", "class_name")),
)


def is_shard_list(path: Path) -> bool:
    """Return whether each line of the text file ``path`` is a shard or a comment."""
    has_any = False
    try:
        with path.open(encoding="utf-8") as lines:
            for line in filter(None, map(str.strip, lines)):
                if line[0] == "#":
                    continue
                if not line.partition("?")[0].endswith(".tar"):  # an address may have a query
                    return False
                has_any = True
    except (OSError, ValueError):  # not text
        return False
    return has_any


def list_all_shards(path: Path) -> tuple[Data, Listing]:
    """Return the section ``data`` for a folder or a list of shards, and the listing of all samples.

    Headers and labels are read, and no image. Remote shards are copied one after the other.

    Raises:
        ThawError: no sample of the first shard has a label in a usual field, only the names of
            some shards state a split, or a shard of the list cannot be read.
    """
    first, text = shard_names(path)[0], str(path)
    with _file_of(first, path) as file:
        data = Data(
            source="webdataset", path=text, root=text, label_field=_label_field(file, first)
        )
        found = list_images(data, Path())
        assert found.shards is not None
        names, splits = found.shards.names, found.shards.splits
        _add(found, file, first, splits[0])
    for name, split in zip(names[1:], splits[1:], strict=True):
        with _file_of(name, path) as file:
            _add(found, file, name, split)
    found.notes.append(f"labels are in the field {data.label_field}")
    return data, found


def _add(found: Listing, file: Path, name: str, split: SplitName | None) -> None:
    """Add the samples of the shard ``name``, which is in ``file``, to a listing."""
    assert found.shards is not None
    index = index_shard(file, name, found.shards.fields, split)
    for sample in index.samples:
        found.shards.add(sample)
    found.bad_files += index.bad_files
    found.classes = sorted({*found.classes, *(sample.label for sample in index.samples)})


@contextlib.contextmanager
def _file_of(name: str, path: Path) -> Iterator[Path]:
    """Give the file of the shard ``name``; a copy of a remote one is removed after the block."""
    root = path if path.is_dir() else path.parent
    with tempfile.TemporaryDirectory(prefix="thaw-shards-") as copies:
        for shard in local_shards([name], root, Path(copies)):
            yield shard.file


def _label_field(file: Path, shard: str) -> str:
    """Return the first usual field that is the label of the most samples in ``shard``."""
    found = {name: index_shard(file, shard, Fields(name, ""), None) for name in _LABEL_FIELDS}
    best = max(found, key=lambda name: len(found[name].samples))
    if found[best].samples:
        return best
    reasons = [bad.reason for bad in found[best].bad_files[:1]]
    raise ThawError(
        f"--images: {shard}: no field with labels is found ({', '.join(_LABEL_FIELDS)}"
        f"{'; ' if reasons else ''}{''.join(reasons)}): create the project without --images and "
        "set data.source: webdataset, data.path and data.label_field (docs/large_data.md)"
    )
