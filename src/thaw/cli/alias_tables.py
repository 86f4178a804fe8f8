"""The tables that `thaw status` and `thaw history` print."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from thaw.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.promotion.status import AliasStatus
    from thaw.registry.ledger_rows import Row

_NARROW = 56  # columns of a terminal that has no room for a table of scores
WIDE_TERMINAL = 72  # columns of a terminal that has room for the tables of status, history and gate
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)")


def status_table(name: str, statuses: Sequence[AliasStatus], now: datetime, width: int) -> Table:
    """Return the table of all aliases of the model ``name``.

    A narrow terminal gets two columns: the alias, and its version with a line for each score.
    Where a terminal of ``width`` columns has no room for run, age and gate, they are not in it:
    see :func:`status_lines`.
    """
    table = Table(title=Text(name), title_style="bold", box=None, padding=(0, 2, 0, 0))
    brief = {key: metric.label for key, metric in METRICS.items() if metric.is_brief}
    labels = [label.replace(" ", "\n") for label in brief.values()]
    is_wide = width >= WIDE_TERMINAL
    if width < _NARROW:
        for status in statuses:
            found = [(label, status.metrics.get(key)) for key, label in brief.items()]
            scores = [f"{label} {value:.4f}" for label, value in found if value is not None]
            lines = "\n".join([f"version {status.version}", *scores])
            table.add_row(Text(f"@{status.alias}"), Text(lines))
        table.show_header = False
        return table
    for column in ("alias", "version", *labels, *(("run", "age") if is_wide else ())):
        table.add_column(column, no_wrap=True)  # on a narrow terminal, only the gate column wraps
    if is_wide:
        table.add_column("gate", overflow="fold")
    for status in statuses:
        metrics = [status.metrics.get(key) for key in brief]
        shown = ["" if value is None else f"{value:.4f}" for value in metrics]
        row = [Text(text) for text in (f"@{status.alias}", str(status.version), *shown)]
        if is_wide:
            row += [Text(status.run_id[:8]), Text(age(status.created, now)), _gate(status, now)]
        table.add_row(*row)
    return table


def _gate(status: AliasStatus, now: datetime) -> Text:
    """Return the cell of the gate result, with a star if :func:`status_lines` has all of it."""
    short, _, more = status.gate.partition(": ")
    gate = Text(_spaced(short), "bold red" if status.moved_by_hand else "")
    if more:
        gate.append(" *")
    if status.since:
        gate.append(f"\n{status.alias} for {age(status.since, now)}")
    return gate


def status_lines(statuses: Sequence[AliasStatus], now: datetime, width: int) -> list[str]:
    """Return what the table has no room for, each alias on a line."""
    if width >= WIDE_TERMINAL:
        return [f"* @{each.alias}: {_spaced(each.gate)}" for each in statuses if ": " in each.gate]
    lines = []
    for each in statuses:
        since = f", {each.alias} for {age(each.since, now)}" if each.since else ""
        run = f"run {each.run_id[:8]}, {age(each.created, now)} old"
        lines.append(f"@{each.alias}: {run}{since}; gate: {_spaced(each.gate)}")
    return lines


def rollback_line(statuses: Sequence[AliasStatus], last: Row | None) -> str:
    """Return what became of the version that the ``last`` move of the champion rolled back.

    Without an alias, it is not in the table. "" if the last move was another, or it has an alias.
    """
    if last is None or last.decision.kind != "rollback" or not last.decision.origin:
        return ""
    origin, decision = last.decision.origin, last.decision
    if any(each.version == origin for each in statuses):
        return ""
    reason = f": {decision.why}" if decision.why else ""
    return (
        f"version {origin} has no alias: the champion was rolled back from it to version "
        f"{decision.to} ({_spaced(last.when[:16])}{reason}); `thaw promote {origin}` offers it "
        "again"
    )


def _spaced(gate: str) -> str:
    """Return a gate result whose time can be broken between date and hour."""
    return _TIME.sub(r"\1 \2", gate)


def status_content(name: str, statuses: Sequence[AliasStatus], explanation: str) -> dict[str, Any]:
    """Return the aliases of the model ``name`` for JSON.

    ``explanation`` says why the champion was lost, if it was.
    """
    aliases = [asdict(each) for each in statuses]
    return {"model": name, "aliases": aliases, "no_champion": explanation or None}


def history_table(
    name: str, alias: str, rows: Sequence[Row], model_created: int, width: int
) -> Table:
    """Return the table of ``rows``, which may include rows of earlier models of this name.

    Addresses of reports are not in it, because columns break them: see :func:`report_lines`.
    ``model_created`` is the creation timestamp (ms) of the current registered model. On a terminal
    of less than 72 columns (``width``) each row is a number and a few lines of text.
    """
    table = Table(title=Text(f"{name} @{alias}"), title_style="bold")
    table.add_column("")
    if width < WIDE_TERMINAL:
        table.box, table.padding = None, (0, 1, 0, 0)
        table.add_column("when (UTC), who, what, why", overflow="fold")
    else:
        # With min_width in place of no_wrap, rich cuts the last column off.
        table.add_column("when (UTC)", no_wrap=True)
        for column in ("who", "what", "from", "to", "why"):
            table.add_column(column, overflow="fold")
    cells: list[tuple[str, ...]] = []
    before = rows[0].model if rows else model_created
    for row in rows:
        if row.model != before:
            cells.append(_new_model_cells(row.model))
        before = row.model
        cells.append(_cells(row))
    if before != model_created:
        cells.append(_new_model_cells(model_created))
    for row_cells in cells:
        table.add_row(
            *map(Text, row_cells if width >= WIDE_TERMINAL else _narrow_cells(*row_cells))
        )
    return table


def _narrow_cells(number: str, when: str, who: str, *others: str) -> tuple[str, str]:
    what, origin, to, why = others
    versions = f": version {f'{origin} to {to}' if origin else to}" if to else ""
    lines = (f"{when}  {who}".rstrip(), what + versions, why)
    return number, "\n".join(line for line in lines if line)


def _cells(row: Row) -> tuple[str, ...]:
    decision = row.decision
    what: str = "forced promotion" if decision.forced else decision.kind
    if decision.off:
        what += f", protections off: {decision.off}"
    if row.state == "void":
        what += ", void: the alias was not moved"
    return (
        str(row.number),
        row.when[:19].replace("T", " "),
        row.who,
        what,
        str(decision.origin or ""),
        str(decision.to or ""),
        decision.why,
    )


def report_lines(rows: Sequence[Row]) -> list[str]:
    """Return a line for each of ``rows`` that has a report: its number and the address."""
    return [f"report of {row.number}: {row.decision.report}" for row in rows if row.decision.report]


def _new_model_cells(created: int) -> tuple[str, ...]:
    when = datetime.fromtimestamp(created / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    why = "the registered model was deleted and created again: no row above counts any more"
    return "", when, "", "new model", "", "", why


def age(then: datetime, now: datetime) -> str:
    """Return the time from ``then`` to ``now`` in the largest unit that fits at least twice."""
    seconds = max((now - then).total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
