from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("regularize.ema", [0.0, 0.999], [1.0]),
        ("regularize.l1", [0.0, 1000.0], [-1.0]),
        ("regularize.calibration", ["auto", "off", "temperature", "vector"], ["platt", False]),
    ],
)
def test_values_that_cannot_work_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)
