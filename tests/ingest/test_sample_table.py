from __future__ import annotations

from thaw.ingest.listing import Sample
from thaw.ingest.sample_table import SampleTable

SAMPLES = [
    Sample("a/1.png", "a", "train"),
    Sample("", "b"),
    Sample("名\n/🦊.png", "名\n", "val"),
    Sample("b/\udcff.png", "a", "train"),
]


def test_samples_come_back_as_they_were_appended() -> None:
    table = SampleTable(SAMPLES)
    assert len(table) == 4
    assert table == SAMPLES
    assert list(table) == SAMPLES
    assert table != SAMPLES[:3]
    assert [table[number] for number in (0, 2, -1, -4)] == [
        SAMPLES[number] for number in (0, 2, -1, -4)
    ]
    assert table[1:3] == SAMPLES[1:3]
    assert table[::-2] == SAMPLES[::-2]


def test_an_empty_table_is_false() -> None:
    assert not SampleTable()
    assert SampleTable() == []
