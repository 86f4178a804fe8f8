from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values
from thaw.config.search_sections import Search


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("search.views", [1, 10_000], [0, 10_001]),
        ("search.confirm_seeds", [0, 1000], [-1, 1001]),
        (
            "search.space",
            [{}, {"unfreeze.lr": [0.1]}],
            [{"unfreeze.lr": 0.1}, {"unfreeze.lr": {"low": 1.0}}],
        ),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)


def test_the_default_space_has_choices_and_ranges() -> None:
    space = Search().model_dump()["space"]
    assert space["unfreeze.depth"] == {"low": 0, "high": 9, "log": False}
    assert space["head.hidden"] == [[], [64], [256]]
