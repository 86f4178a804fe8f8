"""A check of the values that a parameter accepts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from thaw.config.params import Params


def check_values(key: str, accepted: list[Any], refused: list[Any]) -> None:
    """Check which values the parameter ``key`` (``section.name``) accepts."""
    section, name = key.split(".")
    for value in accepted:
        Params.model_validate({section: {name: value}})
    for value in refused:
        with pytest.raises(ValidationError):
            Params.model_validate({section: {name: value}})
