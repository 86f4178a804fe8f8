"""Messages and progress bars on the standard error stream, results on the standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import track

from thaw.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

_err = Console(stderr=True)


def print_line(line: str) -> None:
    """Print a line of a result, whole: a terminal wraps it, and a program gets one line."""
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Print a message."""
    _err.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def warn(line: str) -> None:
    """Print a warning."""
    _err.print(
        f"warning: {printable(line)}", style="yellow", markup=False, highlight=False, soft_wrap=True
    )


def terminal() -> Console:
    """Return the console of messages."""
    return _err


def progress(items: Iterable[T], description: str, total: int, *, show: bool = True) -> Iterable[T]:
    """Return ``items``, with a progress bar that disappears at the end if this is a terminal."""
    if not show or not _err.is_terminal:
        return items
    return track(items, description=description, total=total, console=_err, transient=True)
