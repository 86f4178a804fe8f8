from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from thaw.system.bounded_pool import map_in_order
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * 10

    assert list(map_in_order(slow_at_first, range(20), pending_per_core=2)) == [
        number * 10 for number in range(20)
    ]


def test_no_items_give_no_results() -> None:
    assert list(map_in_order(str, [], pending_per_core=1)) == []


def test_items_are_taken_only_as_far_as_the_limit_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_in_order(str, items(), pending_per_core=3)
    assert next(results) == "0"
    assert len(taken) == 3 * cores() + 1
    results.close()  # type: ignore[attr-defined]
    assert len(taken) == 3 * cores() + 1


def test_an_error_is_raised_at_the_place_of_its_item() -> None:
    def fail_at_two(number: int) -> int:
        if number == 2:
            raise ValueError(f"item {number}")
        return number

    results = map_in_order(fail_at_two, range(5), pending_per_core=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="item 2"):
        next(results)


def test_the_initializer_runs_in_each_thread() -> None:
    initialized: list[int] = []
    used = list(
        map_in_order(
            lambda _: threading.get_ident(),
            range(10),
            pending_per_core=1,
            initializer=lambda: initialized.append(threading.get_ident()),
        )
    )
    assert set(used) <= set(initialized)
