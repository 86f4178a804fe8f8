from __future__ import annotations

from typing import Any

import pytest

from thaw.errors import ThawError
from thaw.serving.settings import Settings


def test_limits_are_converted_to_bytes() -> None:
    settings = Settings(max_megabytes=0.5, bodies=2.0)
    assert (settings.max_request_bytes, settings.max_body_bytes) == (500_000, 2_000_000)


def test_the_limit_of_all_bodies_admits_one_request_of_any_allowed_size() -> None:
    assert Settings(max_megabytes=3.0, bodies=1.0).max_body_bytes == 3_000_000


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("name", ["max_megabytes", "max_megapixels", "timeout", "poll"])
def test_a_limit_that_is_no_limit_is_named(name: str, value: float) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(ThawError, match=f"--{name.replace('_', '-')} .*above 0"):
        Settings(**changes)
