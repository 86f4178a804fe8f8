"""The journal of packing: which parts of a listing are packed, so that a stopped run continues.

A line per part follows a line with the key of everything that determines the result. Each line has
a checksum: what follows a damaged or unfinished one is packed again.
"""

from __future__ import annotations

import json
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any

from thaw.data.pack_writer import PackedSize
from thaw.data.pixel_range import UsedRange
from thaw.errors import ThawError
from thaw.ingest.file_states import FileState
from thaw.ingest.listing import BadFile, Sample
from thaw.ingest.part_packing import PackedPart
from thaw.ingest.reading import ImageRecord
from thaw.system.checksums import checksum
from thaw.system.storage_errors import write_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


JOURNAL = "journal.jsonl"


class RecordFile:
    """The records of the images in a journal, in order, without those in ``left_out`` groups.

    They are read from the file in each pass: memory does not depend on their number, ``count``.

    Raises:
        ThawError: in a pass, if the file does not have ``count`` records any more.
    """

    def __init__(self, journal: Journal, count: int) -> None:
        self._journal = journal
        self._count = count
        self._left_out: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[ImageRecord]:
        count = 0
        for part in self._journal.finished():
            for item in part.items:
                if isinstance(item, BadFile):
                    continue
                count += 1
                if item[0].group not in self._left_out:
                    yield item[0]
        if count != self._count:
            raise ThawError(
                f"{self._journal.path} was damaged while the stage ran ({count} of {self._count} "
                "records are left): run the same command again"
            )

    def leave_out(self, groups: Iterable[str]) -> None:
        """Leave out the images of these groups of equal pixels."""
        self._left_out = frozenset(groups)


class Journal:
    """The lines of the file ``path``; ``key`` names what determines the packed images."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._key = key

    def finished(self) -> Iterator[PackedPart]:
        """Yield the packed parts in order; none if the file is of another key, or missing."""
        try:
            with self.path.open(encoding="utf-8") as stream:
                lines = iter(stream)
                if _content(next(lines, "")) != self._key:
                    return
                for line in lines:
                    if (content := _content(line)) is None:
                        return
                    yield PackedPart([_item(fields) for fields in content])
        except (OSError, ValueError, TypeError, KeyError):
            return

    def restart(self, parts: int) -> None:
        """Keep the first ``parts`` parts of the file, and append to it from now on.

        Raises:
            ThawError: the file cannot be written.
        """
        try:
            if not parts:
                self.path.unlink(missing_ok=True)  # a link would be written through
                self.path.write_text(_line(self._key), encoding="utf-8")
                return
            with self.path.open("r+b") as stream:
                for _ in range(parts + 1):
                    stream.readline()
                stream.truncate(stream.tell())
        except OSError as error:
            raise ThawError(write_failure(self.path, error)) from error

    def add(self, part: PackedPart) -> None:
        """Append a part.

        Raises:
            ThawError: the file cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(_line([_fields(item) for item in part.items]))
        except OSError as error:
            raise ThawError(write_failure(self.path, error)) from error


def _line(content: object) -> str:
    text = json.dumps(content)
    return f"{checksum(text.encode()):x} {text}\n"


def _content(line: str) -> Any:
    """Return the content of a line; None if it is damaged."""
    sum_text, _, text = line.partition(" ")
    text = text.removesuffix("\n")
    is_intact = line.endswith("\n") and sum_text == f"{checksum(text.encode()):x}"
    return json.loads(text) if is_intact else None


def _fields(item: tuple[ImageRecord, PackedSize] | BadFile) -> list[Any]:
    """Return the fields of an item as JSON has them."""
    if isinstance(item, BadFile):
        return [item.path, item.reason, item.label, item.state]
    record, size = item
    sample, used = record.sample, record.used
    return [
        [sample.path, sample.label, sample.split],
        record.state,
        record.group,
        record.width,
        record.height,
        record.conversions,
        None if used is None else [used.low, used.high, used.start, used.end],
        record.hash,
        size,
    ]


@lru_cache(maxsize=1024)
def _shared(conversions: tuple[str, ...]) -> tuple[str, ...]:
    """Return an equal tuple, the same one for all images."""
    return conversions


def _item(fields: list[Any]) -> tuple[ImageRecord, PackedSize] | BadFile:
    """Return the item that :func:`_fields` got."""
    if isinstance(fields[0], str):
        path, reason, label, state = fields
        return BadFile(path, reason, label, None if state is None else FileState(*state))
    sample, state, group, width, height, conversions, used, value, size = fields
    path, label, split = sample
    record = ImageRecord(
        sample=Sample(path, intern(label), split and intern(split)),
        state=FileState(*state),
        group=group,
        width=width,
        height=height,
        conversions=_shared(tuple(conversions)),
        used=None if used is None else UsedRange(*used),
        hash=value,
    )
    return record, PackedSize(*size)
