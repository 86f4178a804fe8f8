"""The manifest: one row per image, and the classes. It identifies the data of a result.

Rows stay in the file: a data set of a million images takes tens of bytes per image in memory.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import weakref
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice
from operator import eq
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from thaw.system.files import write_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.data.split_names import SplitName

FILE = "manifest.csv"
LEFT_OUT = "left out"  # in the column of the split
_REASON = "reason"
_READ_FIRST, _READ_AHEAD = 512, 1 << 16  # bytes


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


class RowFile(Sequence[Row]):
    """The rows of an open manifest file, which are read when they are used."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)  # it stays readable when it is replaced
        weakref.finalize(self, os.close, self._descriptor)
        self._starts = array("q")
        self.left_out: list[LeftOut] = []
        records = _records(self._lines(0))
        _, header = next(records, (0, []))
        self._columns = {name: number for number, name in enumerate(header)}
        for start, values in records:
            if values[self._columns["split"]] == LEFT_OUT:
                names = ("path", "label", _REASON)
                self.left_out.append(LeftOut(*(values[self._columns[name]] for name in names)))
            else:
                self._starts.append(start)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return next(self._rows(self._starts[index]))

    def __iter__(self) -> Iterator[Row]:
        return islice(self._rows(self._starts[0]), len(self)) if len(self) else iter(())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def _rows(self, start: int) -> Iterator[Row]:
        """Yield the rows from that at byte ``start`` on, and those of files that are left out."""
        for _, values in _records(self._lines(start)):
            text = {name: values[number] for name, number in self._columns.items()}
            yield Row(
                id=int(text["id"] or -1),
                path=text["path"],
                digest=text["digest"],
                label=text["label"],
                split=text["split"],
                width=int(text["width"]),
                height=int(text["height"]),
            )

    def _lines(self, start: int) -> Iterator[bytes]:
        """Yield the lines of the file from byte ``start`` on; names may contain line ends."""
        size, rest = _READ_FIRST, b""
        while block := os.pread(self._descriptor, size, start):
            start, size = start + len(block), _READ_AHEAD
            *whole, rest = (rest + block).split(b"\n")
            yield from (line + b"\n" for line in whole)
        if rest:
            yield rest


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Yield the position of each record in bytes, from the first line on, and its values."""
    position = 0

    def texts() -> Iterator[str]:
        nonlocal position
        for line in lines:
            position += len(line)
            yield line.decode("utf-8")

    start = 0
    for values in csv.reader(texts()):
        yield start, values
        start = position


class Manifest:
    """The rows in the order of their ids, which is the order of the packed store.

    ``classes`` are the labels, sorted; ``targets`` (N,) the class number of each image.
    ``left_out`` are the files that are not part of the data.
    """

    def __init__(self, rows: Sequence[Row], digest: str, left_out: Sequence[LeftOut] = ()) -> None:
        self.rows = rows
        self.left_out = left_out
        self.digest = digest
        numbers: dict[str, int] = {}
        splits: dict[str, int] = {}
        label_of, split_of, ids = array("i"), array("b"), array("q")
        for row in rows:
            label_of.append(numbers.setdefault(row.label, len(numbers)))
            split_of.append(splits.setdefault(row.split, len(splits)))
            ids.append(row.id)
        self.classes = sorted(numbers)
        place = {label: number for number, label in enumerate(self.classes)}
        order = np.array([place[label] for label in numbers], dtype=np.int64)
        self.targets = order[np.array(label_of, dtype=np.int32)]
        self._ids = np.array(ids, dtype=np.int64)
        self._split_of, self._splits = np.array(split_of, dtype=np.int8), splits

    def ids(self, split: SplitName) -> NDArray[np.int64]:
        """Return the ids of the images of ``train``, ``val`` or ``test``, ascending."""
        found: NDArray[np.int64] = self._ids[self._split_of == self._splits.get(split, -1)]
        return found


def write(rows: Iterable[Row], folder: Path, left_out: Sequence[LeftOut] = ()) -> None:
    """Write the rows as CSV; names may contain commas, quotes and newlines.

    Files that are left out follow the images, without an id. Only then there is a column for the
    reason, so that the digest of data without such files stays the same.
    """
    names = [field.name for field in fields(Row)]
    header: list[Any] = [*names, _REASON] if left_out else names

    def lines() -> Iterator[Sequence[Any]]:
        yield header
        for row in rows:
            values = [getattr(row, name) for name in names]
            yield [*values, ""] if left_out else values
        for each in left_out:
            yield "", each.path, "", each.label, LEFT_OUT, 0, 0, each.reason

    write_parts(folder / FILE, map(_csv_line, lines()))


def _csv_line(values: Sequence[Any]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow(values)
    return stream.getvalue().encode()


def read(folder: Path) -> Manifest:
    """Read a manifest that :func:`write` wrote; its digest is the SHA-256 of the file."""
    rows = RowFile(folder / FILE)
    with (folder / FILE).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Manifest(rows, digest, rows.left_out)
