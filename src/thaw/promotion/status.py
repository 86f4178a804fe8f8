"""Who stands where, since when and by whose leave; and all that happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from thaw.metrics.registry import METRICS
from thaw.registry import names
from thaw.registry.ledger import Ledger, aliases, unsettled
from thaw.registry.ledger_rows import expected, last_change, let_in, without_gate
from thaw.registry.names import CHALLENGER, CHAMPION, PREVIOUS, gate_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Row


@dataclass(frozen=True)
class _History:
    """The rows of an alias, and the first champion where only a tag says it."""

    rows: Sequence[Row]
    first: int | None


@dataclass(frozen=True)
class Standing:
    """An alias, the version on it, and what is to be said of it; ``wrong`` should be read.

    ``since``: when it came to stand there, None where no history tells.
    """

    alias: str
    version: int
    metrics: dict[str, float]
    run_id: str
    created: datetime
    since: datetime | None
    gate: str
    wrong: bool


def standings(client: MlflowClient, name: str) -> list[Standing]:
    """Every alias of the model; what a process that died had begun is carried out first."""
    wanted = {CHAMPION, *aliases(client, name), *unsettled(client, name)} - {CHALLENGER, PREVIOUS}
    ledgers = [Ledger(client, name, alias) for alias in sorted(wanted)]
    histories = {one.alias: _History(one.settle(), one.first()) for one in ledgers}
    order = [CHAMPION, CHALLENGER, PREVIOUS]
    found = sorted(
        aliases(client, name).items(),
        key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0]),
    )
    return [_standing(client, name, alias, number, histories) for alias, number in found]


def _standing(
    client: MlflowClient, name: str, alias: str, number: int, histories: dict[str, _History]
) -> Standing:
    entry = client.get_model_version(name, str(number))
    history = histories.get(CHAMPION if alias == PREVIOUS else alias)
    gate, wrong = _gate(entry, alias, history)
    metrics = {key: entry.tags[f"test.{key}"] for key in METRICS if f"test.{key}" in entry.tags}
    return Standing(
        alias=alias,
        version=number,
        metrics={key: float(value) for key, value in metrics.items()},
        run_id=entry.run_id or "",
        created=_created(entry),
        since=_since(entry, alias, history),
        gate=gate,
        wrong=wrong,
    )


def _gate(entry: ModelVersion, alias: str, history: _History | None) -> tuple[str, bool]:
    """What the gate said of the version, and whether it stands here without leave."""
    asked = CHAMPION if history is None or alias == PREVIOUS else alias
    verdict, when, reason = (
        entry.tags.get(gate_tag(tag, asked), "")
        for tag in (names.GATE, names.GATE_WHEN, names.GATE_REASON)
    )
    said = " ".join(part for part in (verdict, when[:16]) if part) or "not offered yet"
    number = int(entry.version)
    is_first = history is not None and number == without_gate(history.rows, history.first)
    if is_first and not verdict:  # its tag was removed; the history has it
        said = names.FIRST
    if verdict == names.FORCED:
        said += f": {reason}"
    if history is None:  # the challenger
        return said, False
    if number not in let_in(history.rows, history.first):
        return f"moved by hand: no gate let it through ({said})", True
    last = expected(history.rows, history.first)
    if alias != PREVIOUS and last != number:
        return f"moved by hand: the last change was to version {last} ({said})", True
    return said, False


def _since(entry: ModelVersion, alias: str, history: _History | None) -> datetime | None:
    """When the last change put the version there; the first champion's is its registration."""
    if history is None:
        return None
    change, number = last_change(history.rows), int(entry.version)
    if change is None:
        return _created(entry) if number == history.first else None
    put = change.intent.previous if alias == PREVIOUS else change.intent.to
    return datetime.fromisoformat(change.when) if put == number else None


def _created(entry: ModelVersion) -> datetime:
    return datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)


def status_table(name: str, found: Sequence[Standing], now: datetime) -> Table:
    """The table that `thaw status` prints."""
    table = Table(title=Text(name), title_style="bold", box=None, padding=(0, 2, 0, 0))
    brief = {name: metric.label for name, metric in METRICS.items() if metric.is_brief}
    labels = [label.replace(" ", "\n") for label in brief.values()]
    for column in ("alias", "version", *labels, "run", "age"):
        table.add_column(column, no_wrap=True)  # what gives way on a narrow terminal is the gate
    table.add_column("gate", overflow="fold")
    for one in found:
        metrics = [one.metrics.get(name) for name in brief]
        shown = ["" if value is None else f"{value:.4f}" for value in metrics]
        gate = Text(one.gate, "bold red" if one.wrong else "")
        if one.since:
            gate.append(f"\nthere for {age(one.since, now)}")
        row = (f"@{one.alias}", str(one.version), *shown, one.run_id[:8], age(one.created, now))
        table.add_row(*map(Text, row), gate)
    return table


def history_table(name: str, alias: str, rows: Sequence[Row], model: int) -> Table:
    """Return the table that `thaw history` prints; ``rows`` also of earlier models of the name.

    ``model`` is the creation timestamp (ms) of the registered model as it is now.
    """
    table = Table(title=Text(f"{name} @{alias}"), title_style="bold")
    for column in ("", "when (UTC)", "who", "what", "from", "to", "why, report"):
        table.add_column(column, overflow="fold")
    before = rows[0].model if rows else model
    for row in rows:
        if row.model != before:
            table.add_row(*_new_model(row.model))
        before = row.model
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
    if before != model:
        table.add_row(*_new_model(model))
    return table


def _new_model(created: int) -> tuple[str, ...]:
    when = datetime.fromtimestamp(created / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    why = "the registered model was deleted and created again: no row above counts any more"
    return "", when, "", "new model", "", "", why


def age(then: datetime, now: datetime) -> str:
    """How long ago, in the largest unit of which there is more than one."""
    seconds = max((now - then).total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
