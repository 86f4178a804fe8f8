"""Labels, splits and groups of equal pixels of all images, in few bytes each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thaw.ingest.digest_table import DigestTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw.ingest.reading import ImageRecord


@dataclass
class RecordColumns:
    """The columns (N,) of records.

    ``groups`` are the groups of equal pixels, ``given`` the splits of the source, if any.
    """

    labels: list[str] = field(default_factory=list)
    groups: DigestTable = field(default_factory=DigestTable)
    given: list[str | None] = field(default_factory=list)
    conversions: list[tuple[str, ...]] = field(default_factory=list)


def columns_of(records: Iterable[ImageRecord]) -> RecordColumns:
    """Return the columns of ``records``, which are read once."""
    columns = RecordColumns()
    for record in records:
        columns.labels.append(record.sample.label)
        columns.groups.append(record.group)
        columns.given.append(record.sample.split)
        columns.conversions.append(record.conversions)
    return columns
