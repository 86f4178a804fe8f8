from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from thaw.system import console
from thaw.system.counted_progress import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def clock(*times: float) -> Callable[[], float]:
    return iter(times).__next__


def test_a_line_every_30_seconds_says_the_rate_and_the_time_that_remains(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A reading after each item, and one more with each line.
    items = counted([100] * 4, "reading", 1400, "images", int, clock(0, 10, 40, 40, 60, 75, 75))
    assert sum(items) == 400
    assert capsys.readouterr().err.splitlines() == [
        "reading: 200 of 1,400 images, 5 images/s, about 4 min remain",
        "reading: 400 of 1,400 images, 6 images/s, about 3 min remain",
    ]


def test_an_estimated_number_follows_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    items = counted(
        [100] * 3, "reading", lambda done: 3 * done, "images", int, clock(0, 40, 40, 50, 80, 80)
    )
    assert sum(items) == 300
    assert capsys.readouterr().err.splitlines() == [
        "reading: 100 of about 300 images, 2 images/s, about 80 s remain",
        "reading: 300 of about 900 images, 5 images/s, about 2 min remain",
    ]


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(counted([1, 2], "reading", 3, "images", int)) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_with_the_rate_while_the_work_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Console(stderr=True, force_terminal=True, width=100)
    monkeypatch.setattr(console, "_err", terminal)
    items = counted([5] * 3, "reading", 20, "images", int)
    for _ in range(3):
        next(items)
        terminal._live_stack[-1].refresh()
    assert "10/20" in (shown := capsys.readouterr().err)
    assert "images/s" in shown
