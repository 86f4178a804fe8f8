"""The table of the gate's rules for a terminal: numbers first, explanations below."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from thaw.cli.registry_tables import WIDE

if TYPE_CHECKING:
    from rich.console import Console

    from thaw.promotion.gate_report import Report

_DIGEST = re.compile("[0-9a-f]{12}")


def show(report: Report, console: Console) -> None:
    """Print the table of the rules, then why rules failed, and the notes.

    80 columns are enough. With less than 72, digests are shortened.
    """
    is_lost = any(rule.name == "comparison" for rule in report.failed)  # or may be lost
    absent = f"no {report.alias} to compare with" if is_lost else f"no {report.alias} yet"
    against = f"against version {report.against}" if report.against else absent
    title = f"{report.name} version {report.version} for @{report.alias}, {against}"
    console.print(Text(f"{title} ({report.images} test images)", "bold"), soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    other = f"version {report.against}" if report.against else report.alias
    for column in ("", "rule"):
        table.add_column(column, no_wrap=True)
    for column in (f"version {report.version}", other, "needed"):
        table.add_column(column, overflow="fold")
    for rule in report.rules:
        mark = Text("pass", "green") if rule.passed else Text("FAIL", "bold red")
        values = [_number(rule.challenger), _number(rule.champion), rule.needed]
        if console.width < WIDE:
            values = [each[:8] if _DIGEST.fullmatch(each) else each for each in values]
        table.add_row(mark, *map(Text, (rule.name, *values)))
    console.print(table)
    for rule in report.failed:
        line = Text.assemble((f"{rule.name}: ", "bold"), rule.sentence)
        console.print(Padding(line, (0, 0, 0, 2)))
    for note in report.notes:
        console.print(Text(f"note: {note}"))


def _number(value: str) -> str:
    """Return a value without the name of its class, which may be long."""
    return value.rpartition(": ")[2]
