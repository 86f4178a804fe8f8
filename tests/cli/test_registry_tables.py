from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from thaw.cli.registry_tables import age, history_table, report_lines
from thaw.registry.ledger_rows import Decision, Row


def row(number: int, decision: Decision, model: int, state: str = "done") -> Row:
    return Row(number, decision, "2026-01-02T03:04:05+00:00", "me@host", state, "", "", model)  # type: ignore[arg-type]


def test_the_history_shows_forced_and_void_promotions_and_a_new_model() -> None:
    forced = Decision("promotion", 1, 2, 1, why="a reason", report="runs:/r/report", forced=True)
    rows = [row(1, forced, model=1000), row(2, Decision("promotion", 2, 3, 2), 1000, "void")]
    out = io.StringIO()
    Console(file=out, width=200).print(history_table("m", "champion", rows, model_created=2000))
    printed = out.getvalue()
    assert "forced promotion" in printed
    assert "void: the version was deleted" in printed
    assert "runs:/r/report" not in printed  # columns would break it
    assert printed.count("new model") == 1


def test_the_address_of_each_report_is_a_line_of_its_own() -> None:
    address = "runs:/" + "0123456789abcdef" * 2 + "/promotion/report.html"
    reported = Decision("promotion", 1, 2, 1, report=address)
    silent = Decision("rollback", 2, 1, 2)
    lines = report_lines([row(7, reported, 1000), row(8, silent, 1000)])
    assert lines == [f"report of 7: {address}"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "5 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 d"), (-3, "0 s")]
)
def test_an_age_has_one_unit(seconds: int, shown: str) -> None:
    now = datetime.fromtimestamp(time.time(), UTC)
    assert age(now - timedelta(seconds=seconds), now) == shown
