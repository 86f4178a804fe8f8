from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from thaw.cli.alias_tables import (
    WIDE_TERMINAL,
    age,
    history_table,
    report_lines,
    rollback_line,
    status_lines,
    status_table,
)
from thaw.metrics.registry import METRICS
from thaw.promotion.status import AliasStatus
from thaw.registry.ledger_rows import Decision, Row

if TYPE_CHECKING:
    from rich.table import Table


def row(number: int, decision: Decision, model: int, state: str = "done") -> Row:
    return Row(number, decision, "2026-01-02T03:04:05+00:00", "me@host", state, "", "", model)  # type: ignore[arg-type]


def test_the_history_shows_forced_and_void_promotions_and_a_new_model() -> None:
    forced = Decision("promotion", 1, 2, 1, why="a reason", report="runs:/r/report", forced=True)
    rows = [row(1, forced, model=1000), row(2, Decision("promotion", 2, 3, 2), 1000, "void")]
    out = io.StringIO()
    Console(file=out, width=200).print(history_table("m", "champion", rows, 2000, 200))
    printed = out.getvalue()
    assert "forced promotion" in printed
    assert "void: the alias was not moved" in printed
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


def statuses() -> list[AliasStatus]:
    """Return a champion and a refused challenger, with times and the longest usual values."""
    scores = dict.fromkeys(METRICS, 0.9876)
    made = datetime(2026, 1, 2, tzinfo=UTC)
    first, refused = "first, no gate", "refused 2026-01-02T03:04"
    return [
        AliasStatus("champion", 12, scores, "0123456789ab", made, made, first, moved_by_hand=False),
        AliasStatus("challenger", 13, scores, "ab" * 6, made, None, refused, moved_by_hand=False),
    ]


def lines_of(table: Table, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [32, 40, 55, 56, 60, 80])
def test_the_status_has_every_value_whole_also_on_a_narrow_terminal(width: int) -> None:
    now = datetime(2026, 1, 4, tzinfo=UTC)
    lines = lines_of(status_table("m", statuses(), now, width), width)
    assert max(map(len, lines)) <= width
    printed = "\n".join([*lines, *status_lines(statuses(), now, width)])
    assert "…" not in printed
    for value in ("@champion", "@challenger", "0.9876", "01234567", "2 d", "first", "refused"):
        assert value in printed
    assert "2026-01-02T" not in printed  # date and hour are two words


def test_a_narrow_status_has_run_age_and_gate_of_each_alias_on_a_line_below() -> None:
    now = datetime(2026, 1, 4, tzinfo=UTC)
    assert status_lines(statuses(), now, 60) == [
        "@champion: run 01234567, 2 d old, champion for 2 d; gate: first, no gate",
        "@challenger: run abababab, 2 d old; gate: refused 2026-01-02 03:04",
    ]
    assert status_lines(statuses(), now, 80) == []


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_time_of_the_history_is_broken_inside_of_a_date(width: int) -> None:
    rows = [row(1, Decision("refusal", 1, 2, 1, why="refused: 3 of 14 rules failed"), model=1000)]
    lines = lines_of(history_table("m", "champion", rows, 1000, width), width)
    assert max(map(len, lines)) <= width
    printed = "\n".join(lines)
    assert "2026-01-02" in printed
    assert "03:04:05" in printed
    assert "me@host" in printed
    assert "…" not in printed


def test_a_version_that_lost_its_alias_by_a_rollback_is_named_with_the_reason() -> None:
    champion, challenger = statuses()
    back = row(9, Decision("rollback", 14, 12, None, why="too many errors"), model=1000)
    assert rollback_line([champion, challenger], back) == (
        "version 14 has no alias: the champion was rolled back from it to version 12 (2026-01-02 "
        "03:04: too many errors); `thaw promote 14` offers it again"
    )


@pytest.mark.parametrize(
    "decision", [None, Decision("promotion", 14, 12, 14), Decision("rollback", 13, 12, None)]
)
def test_no_rollback_is_named_after_another_move_or_where_the_version_has_an_alias(
    decision: Decision | None,
) -> None:
    last = None if decision is None else row(9, decision, model=1000)
    assert rollback_line(statuses(), last) == ""


def test_a_narrow_history_has_few_lines_for_each_row() -> None:
    decisions = [
        Decision("promotion", None, 1, None),
        Decision("refusal", 1, 2, 1, why="refused: 3 of 14 rules failed"),
    ]
    rows = [row(1, decisions[0], model=1000), row(2, decisions[1], model=1000)]
    lines = lines_of(history_table("m", "champion", rows, 2000, 40), 40)
    assert [line.rstrip() for line in lines[1:]] == [
        "  when (UTC), who, what, why",
        "1 2026-01-02 03:04:05  me@host",
        "  promotion: version 1",
        "2 2026-01-02 03:04:05  me@host",
        "  refusal: version 1 to 2",
        "  refused: 3 of 14 rules failed",
        "  1970-01-01 00:00:02",
        "  new model",
        "  the registered model was deleted and",
        "  created again: no row above counts",
        "  any more",
    ]


@pytest.mark.parametrize("width", [40, 50, 60, 72, 80, 100])
def test_no_cell_of_the_history_is_cut_off_at_the_edge_of_the_terminal(width: int) -> None:
    why = "zzzzzzz " * 12
    forced = Decision("promotion", 1, 2, 1, why=why, forced=True)
    rows = [row(1, forced, 1000), row(2, Decision("rollback", 2, 1, None), 2000)]
    lines = lines_of(history_table("m", "champion", rows, 3000, width), width)
    assert max(map(len, lines)) <= width
    if width >= WIDE_TERMINAL:
        assert {line[-1] for line in lines[1:]} <= set("┓┃┩│┘")
    assert "".join(lines).count("z") == 7 * 12
