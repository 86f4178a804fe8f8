"""Cut a listing into parts of few images, which are the units of packing and of continuing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from thaw.ingest.shard_files import local_shards
from thaw.ingest.shard_index import index_shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from thaw.ingest.listing import BadFile, Listing, Sample, Shards
    from thaw.ingest.shard_index import Span

IMAGES_PER_PART = 16


class Place(NamedTuple):
    """The place of a part: the number of its shard, and its own number there."""

    shard: int
    number: int


@dataclass(frozen=True)
class ListedPart:
    """Consecutive samples, with their ``spans`` if they are in a shard.

    ``bad_files`` are samples of the shard that have no usable fields. ``finished`` is the copy of
    a shard that is not needed after this part, ``is_last`` that it is the last one of its shard.
    """

    place: Place
    samples: Sequence[Sample]
    spans: Sequence[Span] = ()
    bad_files: Sequence[BadFile] = ()
    finished: Path | None = None
    is_last: bool = False

    @property
    def next_place(self) -> Place:
        """The place of the part after this one."""
        shard, number = self.place
        return Place(shard + 1, 0) if self.is_last else Place(shard, number + 1)

    def located(self) -> Iterator[tuple[Sample, Span | None]]:
        """Yield each sample with its span; None for a sample that is a file."""
        spans: Sequence[Span | None] = self.spans or [None] * len(self.samples)
        yield from zip(self.samples, spans, strict=True)


def listed_parts(found: Listing, copies: Path, first: Place) -> Iterator[ListedPart]:
    """Yield the parts of ``found`` from ``first`` on; ``copies`` is a folder for remote shards.

    Raises:
        ThawError: a shard cannot be read.
    """
    if found.shards is not None:
        yield from _shard_parts(found.shards, found.root, copies, first)
        return
    for start in range(first.number * IMAGES_PER_PART, len(found.samples), IMAGES_PER_PART):
        place = Place(0, start // IMAGES_PER_PART)
        yield ListedPart(place, found.samples[start : start + IMAGES_PER_PART])


def _shard_parts(shards: Shards, root: Path, copies: Path, first: Place) -> Iterator[ListedPart]:
    """Yield the parts of each shard; a shard without samples has one empty part."""
    for shard in local_shards(shards.names, root, copies, first.shard):
        index = index_shard(shard.file, shard.name, shards.fields, shards.splits[shard.number])
        skipped = first.number if shard.number == first.shard else 0
        starts = range(0, max(1, len(index.samples)), IMAGES_PER_PART)
        for number in range(skipped, len(starts)):
            part = slice(starts[number], starts[number] + IMAGES_PER_PART)
            is_last = number == len(starts) - 1
            yield ListedPart(
                Place(shard.number, number),
                index.samples[part],
                index.spans[part],
                index.bad_files if is_last else (),
                shard.file if is_last and shard.is_copy else None,
                is_last,
            )
