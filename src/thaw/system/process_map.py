"""Map a function over many items in one process per core, with bounded memory."""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, TypeVar

from thaw.errors import ThawError
from thaw.system.bounded_pool import results_in_order
from thaw.system.processes import cores, die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.synchronize import Event

Item = TypeVar("Item")
Result = TypeVar("Result")


class StoppedError(Exception):
    """The results are not needed any more."""


_stop: Event | None = None  # set in a process of the map


def raise_if_stopped() -> None:
    """End the current item early: a function calls it between the steps of a long item.

    Raises:
        StoppedError: the consumer has stopped.
    """
    if _stop is not None and _stop.is_set():
        raise StoppedError


def can_fork() -> bool:
    """Return whether this system can start processes by `fork`."""
    return "fork" in multiprocessing.get_all_start_methods()


def map_in_processes(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    pending_per_core: int,
    purpose: str,
    initializer: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed in one process per core.

    It suits functions that hold the GIL for much of their time. ``function``, items and results
    are pickled. At most ``pending_per_core`` results per core, and one more, are computed ahead of
    the consumer. ``initializer`` runs once in each process. The processes end with this one.

    If the consumer stops early, pending items are cancelled and running ones end at their next
    call of :func:`raise_if_stopped`.

    Raises:
        ThawError: a process was killed; ``purpose`` says what it did.
    """
    context: Any = multiprocessing.get_context("fork")
    stop = context.Event()
    pool = ProcessPoolExecutor(
        cores(), mp_context=context, initializer=_start, initargs=(stop, initializer)
    )
    try:
        yield from results_in_order(pool, function, items, pending_per_core * cores())
    except BrokenProcessPool:
        raise ThawError(
            f"a process that {purpose} was killed; it may need more memory: the same command "
            "continues"
        ) from None
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _start(stop: Event, initializer: Callable[[], object] | None) -> None:
    """Prepare a process of the pool; ctrl-C is left to the process that started it."""
    global _stop
    die_with_parent({})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _stop = stop
    if initializer is not None:
        initializer()
