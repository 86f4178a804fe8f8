from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values
from thaw.config.model_sections import Backbone


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("backbone.image_size", [8, 4096], [7, 4097]),
        ("backbone.crop_pct", [0.1, 1.0], [0.0, 1.1]),
        ("head.taps", [[], [1, 9]], [[0], [1001]]),
        ("head.hidden", [[], [8, 65536]], [[0], [65537], [1] * 33]),
        ("head.dropout", [0.0, 0.9], [1.0]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)


def test_the_defaults_suit_photographs() -> None:
    assert (Backbone().image_size, Backbone().crop_pct) == (224, 0.875)
