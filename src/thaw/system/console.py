"""Messages and progress bars on the standard error stream, results on the standard output."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from rich.console import Console, RenderHook
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from thaw.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import ConsoleOptions, ConsoleRenderable, RenderResult
    from rich.progress import Task

T = TypeVar("T")

_CLOSED_OUTPUT = 141  # exit code: 128 and the number of SIGPIPE
_NARROWEST = 20  # columns: rich fails where a table has none for its text (COLUMNS=1)
_err = Console(stderr=True)


class ResultConsole(Console):
    """A console for results, which escapes control characters.

    Tags of the store and names of files are texts that others can write.
    """

    def __init__(self, *, highlight: bool = True) -> None:
        """Print on the standard output; ``highlight`` colours numbers and the like."""
        super().__init__(highlight=highlight)
        if self.width < _NARROWEST:
            self.width = _NARROWEST
        self.push_render_hook(_Escaping())

    def on_broken_pipe(self) -> NoReturn:
        """End the process: no program reads the results any more."""
        end_with_closed_output()


class _Escaping(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(each) for each in renderables]


@dataclass(frozen=True)
class _Escaped:
    content: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self.content, options):
            yield Segment(text if control else printable(text), style, control)


def end_with_closed_output() -> NoReturn:
    """Exit as a program that SIGPIPE ends: 1 would say that a gate or a check has failed.

    Raises:
        SystemExit: always.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes nowhere
    sys.exit(_CLOSED_OUTPUT)


def print_line(line: str) -> None:
    """Print a line of a result, whole: a terminal wraps it, and a program gets one line."""
    ResultConsole().print(line, markup=False, highlight=False, soft_wrap=True)


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
    """Return ``items``, with a progress bar that disappears at the end if this is a terminal.

    The bar has the number of items, their rate, the time so far, which moves also during a long
    item, and an estimate of the remaining time.
    """
    if not show or not _err.is_terminal:
        return items
    return _tracked(items, description, total)


def _tracked(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as bar:
        yield from bar.track(items, total=total, description=description)


@contextlib.contextmanager
def activity(text: str) -> Iterator[Callable[[str], None]]:
    """Show ``text`` with a moving sign during the block if this is a terminal; no number is known.

    The block gets a function that replaces the text. The line disappears at the end.
    """
    if not _err.is_terminal:
        yield lambda _: None
        return
    with _err.status(Text(text)) as line:
        yield lambda other: line.update(Text(other))


class _Rate(ProgressColumn):
    """The number of items in a second, or the seconds of an item."""

    def render(self, task: Task) -> Text:
        """Return the rate, "-" before the first items."""
        rate = task.finished_speed or task.speed
        if not rate:
            return Text("-/s")
        return Text(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
