from __future__ import annotations

import pytest

from thaw.ingest.unread_splits import UnreadSplits


def problems(columns: list[str], *values: str) -> list[str]:
    unread = UnreadSplits(columns)
    for value in values:
        unread.add({"path": "1.png", "label": "a", columns[-1]: value})
    return unread.problems()


def test_a_column_of_splits_is_named_with_its_values() -> None:
    (line,) = problems(["path", "label", "set"], "train", "valid", "train", "TEST")
    assert line.startswith("the column 'set' names splits (TEST, train, valid)")


@pytest.mark.parametrize(
    "values", [("train", "holiday"), ("train", "train"), ("train", ""), ("1", "2"), ("test",), ()]
)
def test_other_columns_are_no_problem(values: tuple[str, ...]) -> None:
    assert problems(["path", "label", "set"], *values) == []


def test_beside_the_column_split_others_may_name_splits() -> None:
    assert problems(["path", "label", "split", "set"], "train", "test") == []
