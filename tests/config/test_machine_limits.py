from __future__ import annotations

from typing import Any

import pytest

from thaw.config.machine_limits import refuse_too_many_processes
from thaw.config.params import Params
from thaw.errors import ThawError


@pytest.mark.parametrize(
    ("sections", "cores"),
    [
        ({}, 1),
        ({"launch": {"processes": 8}}, 1),
        ({"launch": {"processes": 64}}, 32),
        ({"resources": {"workers": 64}}, 2),
        ({"launch": {"threads": 128}}, 64),
    ],
)
def test_numbers_that_a_machine_can_carry_are_accepted(
    sections: dict[str, Any], cores: int
) -> None:
    refuse_too_many_processes(Params.model_validate(sections), cores)


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"launch": {"processes": 1024}}, r"launch\.processes: 1024 .* 2 cores.*set 8 or fewer"),
        ({"resources": {"workers": 256}}, r"resources\.workers: 256 in each of 1 .*set 64"),
        ({"launch": {"processes": 4}, "resources": {"workers": 32}}, r"resources\.workers.*set 16"),
        ({"launch": {"threads": 1024}}, r"launch\.threads: 1024 in each of 1"),
    ],
)
def test_numbers_that_would_take_the_machine_down_are_refused(
    sections: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ThawError, match=reason):
        refuse_too_many_processes(Params.model_validate(sections), 2)
