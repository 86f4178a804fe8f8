from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("prepare.val_fraction", [0.01, 0.49], [0.0, 0.5]),
        ("prepare.short_side", [8, 8192], [7, 8193]),
        ("prepare.max_megapixels", [0.001, 178.0], [0.0, 1e-9, 179.0]),
        (
            "prepare.range",
            ["type", "image", [0, 4095], (-1000.5, 1e30)],
            ["clip", [1, 1], [3, 1], [0], [0, 1, 2], ["0", 1], [True, 2], [0, 1e31], 4, None, {}],
        ),
        ("prepare.jpeg_pixels", ["reduced", "all"], ["half", 2, None]),
        ("prepare.shard_mb", [0, 1, 1_000_000], [-1, 1_000_001, 0.5, "500 MB", None]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)
