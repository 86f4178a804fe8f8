"""The held-out set: telescope photographs in six classes, from Debian's ``stellarium-data``.

Nothing of thaw is tuned on this set. It is measured after all choices are made, and its results
change no choice. The classes are types of objects in the package's own catalogue; a galaxy is
"early" if its morphological type starts with E or S0, and "spiral" otherwise. Photographs of
objects without a number of Messier, NGC or IC are left out.
"""

from __future__ import annotations

import gzip
import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.datasets.division import (
    built,
    copy_splits,
    divided,
    image_names,
    near_duplicates,
    write_images,
)
from benchmarks.datasets.packages import Package, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = Package(
    "debian",
    "stellarium-data",
    "0.22.2-1",
    "45aaebf39a814acbd6dcccea058c2f5651bcb5635599da03a215feeb51f4d5a5",
)
# Numbers of types in Stellarium's catalogue; 0 to 3 are galaxies.
_GALAXIES = range(4)
_TYPES = {
    5: "open-cluster", 6: "open-cluster", 7: "globular-cluster", 10: "nebula",
    11: "planetary-nebula", 13: "nebula", 14: "nebula", 15: "nebula", 17: "nebula", 18: "nebula",
}  # fmt: skip
_EARLY = re.compile(r"c?D|E|\(?R?'?\)?S[AB]*0")
_NAME = re.compile(r"(m|n|ic)(\d+)", re.IGNORECASE)
_CATALOGUES = {"m": 2, "n": 0, "ic": 1}  # place of the number in a record
ALIKE = 1  # images kept of each group of near-duplicates
_ROOM = {"train": 0.6, "val": 0.15}


class Entry(NamedTuple):
    """An object of the catalogue: its numbers in NGC, IC and Messier (0: none), and its type."""

    numbers: tuple[int, int, int]
    kind: int
    morphology: str


def dataset(seed: int) -> Path:
    """Return a folder with ``train/ val/ test/``, each with one folder per type of object."""
    return built(f"sky-{seed}", lambda folder: _divide(folder, seed))


def _divide(folder: Path, seed: int) -> None:
    source = built("sky", _write)
    groups = near_duplicates(source, image_names(source))
    copy_splits(source, divided(groups, _ROOM, seed), folder)


def _write(folder: Path) -> None:
    source = unpacked(PACKAGE) / "usr/share/stellarium/nebulae/default"
    kinds = {}
    for entry in entries(gzip.decompress((source / "catalog.dat").read_bytes())):
        for catalogue, place in _CATALOGUES.items():
            if entry.numbers[place]:
                kinds[catalogue, entry.numbers[place]] = label_of(entry)
    chosen = {}
    for path in sorted(source.glob("*.png")):
        found = _NAME.match(path.name)
        label = kinds.get((found[1].lower(), int(found[2])), "") if found else ""
        if label:
            chosen[path] = label
    write_images(folder, chosen, ALIKE)


def label_of(entry: Entry) -> str:
    """Return the class of an object, "" if it is of no class."""
    if entry.kind in _GALAXIES:
        return "early-galaxy" if _EARLY.match(entry.morphology) else "spiral-galaxy"
    return _TYPES.get(entry.kind, "")


def entries(content: bytes) -> Iterator[Entry]:
    """Yield the objects of Stellarium's ``catalog.dat``, version 3, a stream of Qt's QDataStream.

    A record: number, four doubles, type, morphology, two doubles, angle, six doubles, fourteen
    numbers of catalogues, a text, two numbers, seven texts, five numbers. Integers have 32 bits,
    all values are big-endian, and a text is its length in bytes and UTF-16.
    """
    reader = _Reader(content)
    reader.text(), reader.text()  # version and edition
    while reader.place < len(content):
        reader.skip(4 + 4 * 8)
        kind, morphology = reader.integer(), reader.text()
        reader.skip(2 * 8 + 4 + 6 * 8)
        numbers = (reader.integer(), reader.integer(), reader.integer())
        reader.skip(11 * 4)
        reader.text()
        reader.skip(2 * 4)
        for _ in range(7):
            reader.text()
        reader.skip(5 * 4)
        yield Entry(numbers, kind, morphology)


class _Reader:
    """Reads values one after another."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.place = 0

    def skip(self, size: int) -> None:
        self.place += size

    def integer(self) -> int:
        (value,) = struct.unpack_from(">I", self.content, self.place)
        self.place += 4
        return int(value)

    def text(self) -> str:
        size = self.integer()
        if size == 0xFFFFFFFF:  # no text
            return ""
        self.place += size
        return self.content[self.place - size : self.place].decode("utf-16-be")
