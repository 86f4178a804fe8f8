"""The tables that `thaw status` and `thaw history` print."""

from __future__ import annotations

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


def status_table(name: str, statuses: Sequence[AliasStatus], now: datetime) -> Table:
    """Return the table of all aliases of the model ``name``."""
    table = Table(title=Text(name), title_style="bold", box=None, padding=(0, 2, 0, 0))
    brief = {key: metric.label for key, metric in METRICS.items() if metric.is_brief}
    labels = [label.replace(" ", "\n") for label in brief.values()]
    for column in ("alias", "version", *labels, "run", "age"):
        table.add_column(column, no_wrap=True)  # on a narrow terminal, only the gate column wraps
    table.add_column("gate", overflow="fold")
    for status in statuses:
        metrics = [status.metrics.get(key) for key in brief]
        shown = ["" if value is None else f"{value:.4f}" for value in metrics]
        short, _, more = status.gate.partition(": ")
        gate = Text(short, "bold red" if status.wrong else "")
        if more:
            gate.append(" *")
        if status.since:
            gate.append(f"\n{status.alias} for {age(status.since, now)}")
        run, created = status.run_id[:8], age(status.created, now)
        row = (f"@{status.alias}", str(status.version), *shown, run, created)
        table.add_row(*map(Text, row), gate)
    return table


def gate_lines(statuses: Sequence[AliasStatus]) -> list[str]:
    """Return the gate results that are too long for the table, each whole on a line."""
    return [f"* @{each.alias}: {each.gate}" for each in statuses if ": " in each.gate]


def status_content(statuses: Sequence[AliasStatus], explanation: str) -> dict[str, Any]:
    """Return the aliases for JSON; ``explanation`` says why the champion was lost, if it was."""
    aliases = [asdict(each) for each in statuses]
    return {"aliases": aliases, "no_champion": explanation or None}


def history_table(name: str, alias: str, rows: Sequence[Row], model_created: int) -> Table:
    """Return the table of ``rows``, which may include rows of earlier models of this name.

    Addresses of reports are not in it, because columns break them: see :func:`report_lines`.
    ``model_created`` is the creation timestamp (ms) of the current registered model.
    """
    table = Table(title=Text(f"{name} @{alias}"), title_style="bold")
    for column in ("", "when (UTC)", "who", "what", "from", "to", "why"):
        table.add_column(column, overflow="fold")
    before = rows[0].model if rows else model_created
    for row in rows:
        if row.model != before:
            table.add_row(*_new_model_cells(row.model))
        before = row.model
        table.add_row(*map(Text, _cells(row)))
    if before != model_created:
        table.add_row(*_new_model_cells(model_created))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    decision = row.decision
    what: str = "forced promotion" if decision.forced else decision.kind
    if decision.off:
        what += f", protections off: {decision.off}"
    if row.state == "void":
        what += ", void: the version was deleted"
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
    """Return the time from ``then`` to ``now`` in the largest unit of which there are two."""
    seconds = max((now - then).total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
