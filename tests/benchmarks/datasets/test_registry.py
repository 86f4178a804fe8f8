from __future__ import annotations

from benchmarks.datasets.registry import DATA


def test_one_set_is_held_out_and_names_differ() -> None:
    assert [data.name for data in DATA if data.held_out] == ["sky"]
    assert len({data.name for data in DATA}) == len(DATA)
