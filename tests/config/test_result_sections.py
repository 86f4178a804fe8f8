from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("evaluate.calibration_bins", [2, 1000], [1, 1001]),
        ("evaluate.tta_views", [0, 1000], [-1, 1001]),
        ("tracking.experiment", ["a/b @c"], ["", "a:b"]),
        ("tracking.registered_model", ["flowers-2"], ["", "a/b"]),
        ("tracking.system_metrics_seconds", [0.5], [0.0, 1e6]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)
