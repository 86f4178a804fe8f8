from __future__ import annotations

from thaw.serving.settings import Settings


def test_limits_are_converted_to_bytes() -> None:
    settings = Settings(max_megabytes=0.5, bodies=2.0)
    assert (settings.max_request_bytes, settings.max_body_bytes) == (500_000, 2_000_000)


def test_the_limit_of_all_bodies_admits_one_request_of_any_allowed_size() -> None:
    assert Settings(max_megabytes=3.0, bodies=1.0).max_body_bytes == 3_000_000
