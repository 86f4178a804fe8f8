"""Who stands where, since when and by whose leave; and all that happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from thaw.registry import names
from thaw.registry.history import last_change
from thaw.registry.ledger import Ledger, aliases
from thaw.registry.names import CHALLENGER, CHAMPION, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.registry.history import Row

_METRICS = ("accuracy", "macro_f1", "log_loss", "ece", "worst_class_recall")


@dataclass(frozen=True)
class Standing:
    """An alias, the version on it, and what is to be said of it; ``wrong`` should be read."""

    alias: str
    version: int
    metrics: dict[str, float]
    run_id: str
    created: datetime
    gate: str
    wrong: bool


def standings(client: MlflowClient, name: str) -> list[Standing]:
    """Every alias of the model; what a process that died had begun is carried out first."""
    ledgers = {alias: Ledger(client, name, alias) for alias in aliases(client, name)}
    ledgers.setdefault(CHAMPION, Ledger(client, name))
    histories = {
        alias: ledger.settle()
        for alias, ledger in ledgers.items()
        if alias not in {CHALLENGER, PREVIOUS}
    }
    order = [CHAMPION, CHALLENGER, PREVIOUS]
    found = sorted(
        aliases(client, name).items(),
        key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0]),
    )
    return [_standing(client, name, alias, number, histories) for alias, number in found]


def _standing(
    client: MlflowClient, name: str, alias: str, number: int, histories: dict[str, list[Row]]
) -> Standing:
    entry = client.get_model_version(name, str(number))
    gate, wrong = _gate(entry, alias, histories)
    metrics = {key: entry.tags[f"test.{key}"] for key in _METRICS if f"test.{key}" in entry.tags}
    return Standing(
        alias=alias,
        version=number,
        metrics={key: float(value) for key, value in metrics.items()},
        run_id=entry.run_id or "",
        created=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
        gate=gate,
        wrong=wrong,
    )


def _gate(entry: ModelVersion, alias: str, histories: dict[str, list[Row]]) -> tuple[str, bool]:
    """What the gate said of the version, and whether it stands here without leave."""
    verdict, when = entry.tags.get(names.GATE, ""), entry.tags.get(names.GATE_WHEN, "")[:16]
    said = " ".join(part for part in (verdict, when) if part) or "not offered yet"
    if verdict == names.FORCED:
        said += f": {entry.tags.get(names.GATE_REASON, '')}"
    if alias == CHALLENGER:
        return said, False
    number = int(entry.version)
    rows = histories.get(CHAMPION if alias == PREVIOUS else alias, [])
    moved_in = any(row.changes and row.intent.to == number for row in rows)
    if verdict not in names.LET_THROUGH and not moved_in:
        return f"moved by hand: no gate let it through ({said})", True
    if alias == PREVIOUS:
        return said, False
    change = last_change(rows)
    if change is not None and change.intent.to != number:
        return f"moved by hand: the last change was to version {change.intent.to} ({said})", True
    if change is None and verdict != names.FIRST:
        return f"moved by hand ({said})", True
    return said, False


def status_table(name: str, found: Sequence[Standing], now: datetime) -> Table:
    """The table that `thaw status` prints."""
    table = Table(title=Text(name), title_style="bold")
    for column in ("alias", "version", "accuracy", "log-loss", "worst recall", "run", "age"):
        table.add_column(column, no_wrap=column in {"alias", "run"})
    table.add_column("gate")
    for one in found:
        metrics = [one.metrics.get(key) for key in ("accuracy", "log_loss", "worst_class_recall")]
        shown = ["" if value is None else f"{value:.4f}" for value in metrics]
        gate = Text(one.gate, "bold red" if one.wrong else "")
        row = (f"@{one.alias}", str(one.version), *shown, one.run_id[:8], age(one.created, now))
        table.add_row(*map(Text, row), gate)
    return table


def history_table(name: str, alias: str, rows: Sequence[Row]) -> Table:
    """The table that `thaw history` prints."""
    table = Table(title=Text(f"{name} @{alias}"), title_style="bold")
    for column in ("", "when (UTC)", "who", "what", "from", "to", "why, report"):
        table.add_column(column, overflow="fold")
    for row in rows:
        intent = row.intent
        what: str = "forced promotion" if intent.forced else intent.kind
        if row.state == "void":
            what += ", void: the version was deleted"
        cells = (
            str(row.number),
            row.when[:19].replace("T", " "),
            row.who,
            what,
            str(intent.origin or ""),
            str(intent.to),
            "\n".join(part for part in (intent.why, intent.report) if part),
        )
        table.add_row(*map(Text, cells))
    return table


def age(then: datetime, now: datetime) -> str:
    """How long ago, in the largest unit of which there is more than one."""
    seconds = max((now - then).total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
