from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ingest.shards import numbered, write_shard
from thaw.config.data_sections import Data
from thaw.ingest.listed_parts import Place, listed_parts
from thaw.ingest.listing import Listing, Sample
from thaw.ingest.shard_source import list_shards

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_files_are_cut_into_parts_of_sixteen(tmp_path: Path, number: int) -> None:
    samples = [Sample(str(number), "a") for number in range(35)]
    parts = list(listed_parts(Listing(tmp_path, samples, []), tmp_path, Place(0, number)))
    assert [part.place for part in parts] == [(0, each) for each in range(number, 3)]
    assert [sample for part in parts for sample in part.samples] == samples[16 * number :]
    assert all(span is None for part in parts for _, span in part.located())


def test_shards_are_cut_into_parts_that_end_with_them(tmp_path: Path) -> None:
    for number, count in enumerate((17, 0, 3)):
        write_shard(tmp_path / "raw" / f"{number}.tar", numbered(0, count))
    found = list_shards(Data(source="webdataset", path=str(tmp_path / "raw")))
    parts = list(listed_parts(found, tmp_path / "copies", Place(0, 0)))
    assert [(part.place, len(part.samples)) for part in parts] == [
        ((0, 0), 16), ((0, 1), 1), ((1, 0), 0), ((2, 0), 3),
    ]  # fmt: skip
    assert [part.next_place for part in parts] == [(0, 1), (1, 0), (2, 0), (3, 0)]
    for first, part in enumerate(parts):
        later = list(listed_parts(found, tmp_path / "copies", part.place))
        assert later == parts[first:]
    assert list(listed_parts(found, tmp_path / "copies", Place(3, 0))) == []
