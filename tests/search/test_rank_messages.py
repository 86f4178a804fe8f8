from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from thaw.search.rank_messages import broadcast


@pytest.mark.parametrize(("is_main", "expected"), [(True, 7), (False, 0)])
def test_only_the_main_process_sends(is_main: bool, expected: int) -> None:
    sent: list[float] = []

    def add(value: Any) -> Any:
        sent.append(float(value))
        return value

    runtime: Any = SimpleNamespace(is_main=is_main, sum=add)
    assert broadcast(runtime, 7) == expected
    assert sent == [expected]
