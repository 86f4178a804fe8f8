from __future__ import annotations

import hashlib

from thaw.ingest.file_states import FileState
from thaw.ingest.listing import Sample
from thaw.ingest.reading import ImageRecord
from thaw.ingest.record_columns import columns_of


def record(path: str, label: str, split: str | None, *conversions: str) -> ImageRecord:
    digest = hashlib.sha256(path.encode()).hexdigest()
    state = FileState(1, "0" * 64)
    return ImageRecord(Sample(path, label, split), state, digest, 1, 1, conversions, None, None)


def test_the_columns_have_the_values_of_the_records_in_order() -> None:
    records = [
        record("a", "cat", "train"),
        record("b", "dog", None, "grey"),
        record("a", "cat", None),
    ]
    columns = columns_of(iter(records))
    assert columns.labels == ["cat", "dog", "cat"]
    assert columns.given == ["train", None, None]
    assert list(columns.groups) == [each.group for each in records]
    assert columns.conversions == [(), ("grey",), ()]
