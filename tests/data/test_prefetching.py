from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from thaw.data.prefetching import delayed, prefetched

if TYPE_CHECKING:
    from collections.abc import Iterator


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.mark.parametrize("most", [1, 2, 50])
def test_items_come_in_their_order(most: int) -> None:
    assert list(prefetched(range(20), most)) == list(range(20))
    assert list(prefetched([], most)) == []
    assert threads() == []


def test_items_are_computed_in_another_thread() -> None:
    def items() -> Iterator[int]:
        yield threading.get_ident()

    (found,) = prefetched(items(), 1)
    assert found != threading.get_ident()


@pytest.mark.parametrize("most", [1, 3])
def test_at_most_so_many_items_are_computed_ahead(most: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(12):
            made.append(number)
            yield number

    found = prefetched(items(), most)
    assert made == []
    for taken in range(12):
        assert next(found) == taken
        deadline = time.monotonic() + 60
        while len(made) < min(12, taken + 1 + most) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.005)
        assert len(made) == min(12, taken + 1 + most)


def test_an_item_is_computed_while_the_consumer_works() -> None:
    computed = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        computed.set()
        yield 2

    found = prefetched(items(), 1)
    assert next(found) == 1
    assert computed.wait(5)
    assert next(found) == 2


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), MemoryError()])
def test_an_error_is_raised_at_its_place(error: BaseException) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    found = prefetched(items(), 5)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(type(error)) as raised:
        next(found)
    assert raised.value is error
    assert threads() == []


def test_a_consumer_that_stops_ends_the_thread_and_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    found = prefetched(items(), 3)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert threads() == []


def test_a_consumer_that_fails_ends_the_thread() -> None:
    def consume() -> None:
        for _ in prefetched(range(1000), 2):
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        consume()
    deadline = time.monotonic() + 60
    while threads() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threads() == []


@pytest.mark.parametrize("by", [0, 1, 2, 7])
def test_delayed_items_follow_the_start_of_others(by: int) -> None:
    started: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            started.append(number)
            yield number

    for number in delayed(items(), by):
        assert len(started) == min(5, number + 1 + by)
    assert list(delayed(range(5), by)) == list(range(5))
    assert list(delayed([], by)) == []
