from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from thaw.config.section import Section


class Numbers(Section):
    """A section for the tests."""

    whole: int = 0
    real: float = 0.0


@pytest.mark.parametrize(
    "content", [{"other": 1}, {"whole": "1"}, {"whole": 1.0}, {"real": "1"}, {"real": float("nan")}]
)
def test_unknown_keys_and_silent_casts_are_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Numbers.model_validate(content)


def test_a_whole_number_is_accepted_for_a_real_one() -> None:
    assert Numbers.model_validate({"real": 1}).real == 1.0


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Numbers().whole = 3  # type: ignore[misc]
