"""The manifest: one row per image, and the classes. It identifies the data of a result."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.data.split_names import SplitName

FILE = "manifest.csv"
LEFT_OUT = "left out"  # in the column of the split
_REASON = "reason"


@dataclass(frozen=True)
class Row:
    """One image.

    ``digest`` is the SHA-256 of the file. ``width`` and ``height`` are those of the original image
    in pixels.
    """

    id: int
    path: str
    digest: str
    label: str
    split: str
    width: int
    height: int


@dataclass(frozen=True)
class LeftOut:
    """A file of the source that is not part of the data, and the reason."""

    path: str
    label: str
    reason: str


class Manifest:
    """The rows in the order of their ids, which is the order of the packed store.

    ``classes`` are the labels, sorted; ``targets`` (N,) the class number of each image.
    ``left_out`` are the files that are not part of the data.
    """

    def __init__(self, rows: Sequence[Row], digest: str, left_out: Sequence[LeftOut] = ()) -> None:
        self.rows = rows
        self.left_out = left_out
        self.digest = digest
        self.classes = sorted({row.label for row in rows})
        index = {label: number for number, label in enumerate(self.classes)}
        self.targets = np.array([index[row.label] for row in rows], dtype=np.int64)

    def ids(self, split: SplitName) -> NDArray[np.int64]:
        """Return the ids of the images of ``train``, ``val`` or ``test``, ascending."""
        return np.array([row.id for row in self.rows if row.split == split], dtype=np.int64)


def write(rows: Sequence[Row], folder: Path, left_out: Sequence[LeftOut] = ()) -> None:
    """Write the rows as CSV; names may contain commas, quotes and newlines.

    Files that are left out follow the images, without an id. Only then there is a column for the
    reason, so that the digest of data without such files stays the same.
    """
    names = [field.name for field in fields(Row)]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([*names, _REASON] if left_out else names)
    writer.writerows((*astuple(row), "") if left_out else astuple(row) for row in rows)
    writer.writerows(
        ("", each.path, "", each.label, LEFT_OUT, 0, 0, each.reason) for each in left_out
    )
    write_whole(folder / FILE, stream.getvalue().encode())


def read(folder: Path) -> Manifest:
    """Read a manifest that :func:`write` wrote; its digest is the SHA-256 of the file."""
    content = (folder / FILE).read_bytes()
    # With newline="" the csv module handles line ends: a quoted name may contain one.
    lines = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))
    rows = [
        Row(
            id=int(row["id"]),
            path=row["path"],
            digest=row["digest"],
            label=row["label"],
            split=row["split"],
            width=int(row["width"]),
            height=int(row["height"]),
        )
        for row in lines
        if row["split"] != LEFT_OUT
    ]
    left_out = [
        LeftOut(row["path"], row["label"], row[_REASON])
        for row in lines
        if row["split"] == LEFT_OUT
    ]
    return Manifest(rows, hashlib.sha256(content).hexdigest(), left_out)
