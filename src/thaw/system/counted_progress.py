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
    total: int,
    unit: str,
    size: Callable[[T], int],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Return ``items``, of which each stands for ``size`` of the ``total`` units; 0 if unknown.

    On a terminal, a bar shows the units that are done, those per second, and the remaining time;
    it disappears at the end. Elsewhere a line says the same every 30 seconds.
    """
    if terminal().is_terminal:
        return _bar(items, description, total, unit, size)
    return _lines(items, description, total, unit, size, clock)


def _bar(
    items: Iterable[T], description: str, total: int, unit: str, size: Callable[[T], int]
) -> Iterator[T]:
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal(), transient=True) as progress:
        task = progress.add_task(description, total=total or None)
        for item in items:
            yield item
            progress.advance(task, size(item))


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
    total: int,
    unit: str,
    size: Callable[[T], int],
    clock: Callable[[], float],
) -> Iterator[T]:
    done = done_before = 0
    before = clock()
    for item in items:
        yield item
        done += size(item)
        seconds = clock() - before
        if seconds >= _SECONDS and (done < total or not total):
            rate = (done - done_before) / seconds
            say(f"{description}: {_state(done, total, rate, unit)}")
            before, done_before = clock(), done


def _state(done: int, total: int, rate: float, unit: str) -> str:
    """Return what is done and how long the rest takes at ``rate`` units per second.

    Example: ``12,000 of 100,000 images, 400 images/s, about 4 min remain``.
    """
    whole = f" of {total:,}" if total else ""
    text = f"{done:,}{whole} {unit}, {rate:,.0f} {unit}/s"
    if not rate or not total:
        return text
    seconds = (total - done) / rate
    remaining = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"{text}, about {remaining} remain"
