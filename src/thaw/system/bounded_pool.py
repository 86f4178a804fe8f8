"""Map a function over many items on all cores, with bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    pending_per_core: int,
    initializer: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed in one thread per core.

    At most ``pending_per_core`` results per core, and one more, are computed ahead of the consumer;
    items are taken from ``items`` only as far. ``initializer`` runs once in each thread. Threads
    suit functions that release the GIL, as Pillow, hashlib, numpy and torch do.

    If ``function`` raises, the error is raised at the place of its item. If the consumer stops
    early, pending items are cancelled.
    """
    pool = ThreadPoolExecutor(cores(), initializer=initializer)
    try:
        yield from results_in_order(pool, function, items, pending_per_core * cores())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def results_in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], limit: int
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, with at most ``limit`` + 1 in ``pool``."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > limit:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
