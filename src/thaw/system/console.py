"""What a person sees while a stage works: lines, and progress bars on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

_err = Console(stderr=True)


def say(line: str) -> None:
    """A line for the person who waits."""
    _err.print(line, markup=False, highlight=False, soft_wrap=True)


def warn(line: str) -> None:
    """A line that should be read."""
    _err.print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def progress(items: Iterable[T], description: str, total: int, *, show: bool = True) -> Iterable[T]:
    """``items`` behind a progress bar that goes away at the end; nothing where no terminal is."""
    if not show or not _err.is_terminal:
        return items
    return track(items, description=description, total=total, console=_err, transient=True)
