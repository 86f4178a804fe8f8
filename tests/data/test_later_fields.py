from __future__ import annotations

import pytest
from pydantic import BaseModel

from thaw.data.later_fields import without_later_defaults


class Stored(BaseModel):
    size: int = 1
    names: list[str] = []
    rate: float | None = None
    needed: str


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, {"size": 1, "needed": "a"}),
        ({"names": ["b"]}, {"size": 1, "names": ["b"], "needed": "a"}),
        ({"size": 2, "rate": 0.0}, {"size": 2, "rate": 0.0, "needed": "a"}),
    ],
)
def test_later_fields_are_left_out_where_they_have_their_default(
    changes: dict[str, object], kept: dict[str, object]
) -> None:
    stored = Stored.model_validate({"needed": "a", **changes})
    assert without_later_defaults(stored.model_dump(), stored, {"size"}) == kept


def test_fields_that_the_content_does_not_have_are_not_added() -> None:
    stored = Stored(needed="a", rate=1.0)
    assert without_later_defaults({"size": 1}, stored, {"size"}) == {"size": 1}
