"""The table of the gate's rules for a terminal: numbers first, explanations below."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from thaw.cli.alias_tables import WIDE_TERMINAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from thaw.promotion.gate_report import Report
    from thaw.promotion.rule_result import RuleResult

_SHOWN_NAMES = {"classes": "classes (recall)"}  # its values do not say what they are
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
        if console.width < WIDE_TERMINAL:
            values = [each[:8] if _DIGEST.fullmatch(each) else each for each in values]
        table.add_row(mark, *map(Text, (_SHOWN_NAMES.get(rule.name, rule.name), *values)))
    console.print(table)
    for sentence, names in _grouped(report.failed).items():
        line = Text.assemble((f"{', '.join(names)}: ", "bold"), sentence)
        console.print(Padding(line, (0, 0, 0, 2)))
    for note in report.notes:
        console.print(Text(f"note: {note}"))


def _grouped(rules: Sequence[RuleResult]) -> dict[str, list[str]]:
    """Return the names of the rules by their sentence: one reason may stop several of them."""
    found: dict[str, list[str]] = {}
    for rule in rules:
        found.setdefault(rule.sentence, []).append(rule.name)
    return found


def _number(value: str) -> str:
    """Return a value without the name of its class, which may be long."""
    return value.rpartition(": ")[2]
