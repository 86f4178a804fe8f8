from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values
from thaw.config.promotion_sections import Promote


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("promote.confidence", [0.51, 0.99], [0.5, 1.0]),
        ("promote.class_margin", [0.0, 1.0], [-0.1, 1.1]),
        ("promote.not_worse", [{}, {"accuracy": 0.1}], [{"accuracy": 0.0}, {"acuracy": 0.1}]),
        ("promote.floors", [{}, {"size_mb": 1.0}], [{"sizes": 1.0}]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)


def test_the_provenance_of_a_version_is_required_by_default() -> None:
    assert all(Promote().provenance.model_dump().values())
