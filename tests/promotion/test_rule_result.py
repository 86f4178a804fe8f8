from __future__ import annotations

import math

import pytest

from thaw.promotion.rule_result import format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (0.12345, "0.1235"), (2.0, "2"), (12.34, "12.3"), (math.nan, "missing"),
     (math.inf, "missing")],
)  # fmt: skip
def test_a_number_has_at_most_four_decimals(value: float, text: str) -> None:
    assert format_number(value) == text
