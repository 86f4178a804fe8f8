from __future__ import annotations

from typing import Any

import pytest

from tests.config.bounds import check_bounds
from thaw.config.params import Params
from thaw.config.values import result_values


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("launch.processes", [1, 1024], [0, 1025]),
        ("launch.threads", [0, 1024], [-1, 1025]),
        ("launch.accumulate", [1, 65_536, "auto"], [0, 65_537, "all"]),
        ("launch.compile", ["auto", "on", "off"], [True, "yes"]),
        ("launch.precision", ["auto", "fp32", "tf32", "bf16", "fp16"], ["no", "fp8", 16]),
        ("resources.workers", [0, 256], [-1, 257]),
        ("resources.checkpoint_minutes", [0.1], [0.0, 1e9]),
        ("resources.cache_gb", [0.0, 1000.0], [-1.0, 1e9]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_bounds(key, accepted, refused)


def test_launch_can_change_a_result_and_resources_cannot() -> None:
    params = Params.model_validate({"launch": {"threads": 2}, "resources": {"workers": 2}})
    assert result_values(params) == {"launch.threads": 2}
