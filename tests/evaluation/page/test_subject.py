from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from tests.evaluation.page import example


def test_a_registration_cannot_change() -> None:
    with pytest.raises(FrozenInstanceError):
        example.REGISTRATION.version = 2  # type: ignore[misc]
