"""Compute items ahead of the code that uses them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Made(Generic[Item]):
    item: Item


@dataclass(frozen=True)
class _Ended:
    """The end of the items, or the error that ended them."""

    error: BaseException | None = None


def prefetched(items: Iterable[Item], most: int) -> Iterator[Item]:
    """Yield ``items`` in order; a thread computes at most ``most`` of them ahead of the consumer.

    An error of ``items`` is raised at its place. If the consumer stops early, the thread stops
    after the item that it computes at that moment, and ``items`` is closed if it is a generator.
    """
    made: queue.Queue[_Made[Item] | _Ended] = queue.Queue()
    # A permit is taken before an item is computed, so that no item more than `most` is in memory.
    permits, stopped = threading.Semaphore(most), threading.Event()

    def produce() -> None:
        error: BaseException | None = None
        source = iter(items)
        try:
            while permits.acquire() and not stopped.is_set():
                made.put(_Made(next(source)))
        except StopIteration:
            pass
        except BaseException as caught:  # the consumer raises it
            error = caught
        finally:
            if hasattr(source, "close"):
                source.close()
            made.put(_Ended(error))

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while isinstance(result := made.get(), _Made):
            permits.release()
            yield result.item
        if result.error is not None:
            raise result.error
    finally:
        stopped.set()
        permits.release()
        thread.join()


def delayed(items: Iterable[Item], by: int) -> Iterator[Item]:
    """Yield ``items`` in order; each is followed by ``by`` others before it is yielded.

    So a device works on the items that follow while the consumer waits for the result of one.
    """
    started: deque[Item] = deque()
    for item in items:
        started.append(item)
        if len(started) > by:
            yield started.popleft()
    yield from started
