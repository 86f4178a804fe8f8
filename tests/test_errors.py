from __future__ import annotations

import pytest

from thaw.errors import ProblemsError, ThawError


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        (["a.png: cannot be decoded"], "bad data (1 problem):\n  - a.png: cannot be decoded"),
        (["one", "two"], "bad data (2 problems):\n  - one\n  - two"),
    ],
)
def test_all_problems_are_counted_and_listed(problems: list[str], message: str) -> None:
    error = ProblemsError("bad data", problems)
    assert str(error) == message
    assert error.problems == problems
    assert isinstance(error, ThawError)
