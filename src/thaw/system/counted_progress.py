"""Progress of long work: what is done, its rate, and the estimated time that remains."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from thaw.system.console import say, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.progress import Task

T = TypeVar("T")

_SECONDS = 30.0  # between two lines where there is no terminal


def counted(
    items: Iterable[T],
    description: str,
    total: int | Callable[[int], int],
    unit: str,
    size: Callable[[T], int],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Return ``items``, of which each stands for ``size`` of the ``total`` units; 0 if unknown.

    ``total`` may be a function that estimates it from the number of units that are done.

    On a terminal, a bar shows the units that are done, those per second, and the remaining time;
    it disappears at the end. Elsewhere a line says the same every 30 seconds.
    """
    if terminal().is_terminal:
        return _bar(items, description, total, unit, size)
    return _lines(items, description, total, unit, size, clock)


def _bar(
    items: Iterable[T],
    description: str,
    total: int | Callable[[int], int],
    unit: str,
    size: Callable[[T], int],
) -> Iterator[T]:
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal(), transient=True) as progress:
        task = progress.add_task(description, total=_whole(total, 0) or None)
        done = 0
        for item in items:
            yield item
            done += size(item)
            progress.update(task, completed=done, total=_whole(total, done) or None)


class _Rate(ProgressColumn):
    """The units per second of the last half minute."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} {self._unit}/s" if task.speed else "")


def _lines(
    items: Iterable[T],
    description: str,
    total: int | Callable[[int], int],
    unit: str,
    size: Callable[[T], int],
    clock: Callable[[], float],
) -> Iterator[T]:
    done = done_before = 0
    before = clock()
    for item in items:
        yield item
        done += size(item)
        seconds, whole = clock() - before, _whole(total, done)
        if seconds >= _SECONDS and (done < whole or not whole):
            rate = (done - done_before) / seconds
            about = "about " if callable(total) else ""
            say(f"{description}: {_state(done, whole, rate, unit, about)}")
            before, done_before = clock(), done


def _whole(total: int | Callable[[int], int], done: int) -> int:
    """Return the number of all units, as far as it is known when ``done`` are done."""
    return total(done) if callable(total) else total


def _state(done: int, total: int, rate: float, unit: str, about: str) -> str:
    """Return what is done and how long the rest takes at ``rate`` units per second.

    Example: ``12,000 of 100,000 images, 400 images/s, about 4 min remain``.
    """
    whole = f" of {about}{total:,}" if total else ""
    text = f"{done:,}{whole} {unit}, {rate:,.0f} {unit}/s"
    if not rate or not total:
        return text
    seconds = (total - done) / rate
    remaining = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"{text}, about {remaining} remain"
