"""A row of an alias's history, and the tags of the experiment that keeps it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from thaw.tracking import user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.entities import Experiment

Kind = Literal["promotion", "rollback", "refusal"]
State = Literal["open", "done", "void"]
LEDGER = "thaw.ledger"
STATE = "thaw.state"
NONCE = "thaw.nonce"
_FIELDS = ("kind", "when", "who", "origin", "to", "previous", "why", "report", "forced")
_LONGEST = 5000  # characters of an experiment's tag


@dataclass(frozen=True)
class Intent:
    """What a row is about: the alias goes from version ``origin`` to ``to``, or stays.

    ``previous`` is the version that stood there before ``to`` did, for a rollback to find.
    """

    kind: Kind
    origin: int | None
    to: int
    previous: int | None
    why: str = ""
    report: str = ""
    forced: bool = False


@dataclass(frozen=True)
class Row:
    """A row of the history; ``when`` is UTC (ISO 8601), ``number`` counts from 1."""

    number: int
    intent: Intent
    when: str
    who: str
    state: State
    experiment_id: str
    nonce: str

    @property
    def changes(self) -> bool:
        """Whether this row moved the alias, or is about to."""
        return self.intent.kind != "refusal" and self.state != "void"


def tags(intent: Intent, ledger: str, alias: str, nonce: str) -> dict[str, str]:
    """The tags that a new row has from its first moment."""
    state = "done" if intent.kind == "refusal" else "open"
    values = {
        "kind": intent.kind,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": f"{user()}@{socket.gethostname()}",
        "origin": _text(intent.origin),
        "to": str(intent.to),
        "previous": _text(intent.previous),
        "why": intent.why[:_LONGEST],
        "report": intent.report,
        "forced": str(intent.forced).lower(),
    }
    moved = f"version {_text(intent.origin) or 'none'} to {intent.to}"
    return {
        LEDGER: ledger,
        STATE: state,
        NONCE: nonce,
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": f"{intent.kind} of @{alias}: {moved}. {intent.why}"[:_LONGEST],
        **{f"thaw.{name}": values[name] for name in _FIELDS},
    }


def read(found: Experiment | None) -> Row:
    """The row that an experiment keeps."""
    assert found is not None  # nobody removes a row
    tags = {name: found.tags.get(f"thaw.{name}", "") for name in _FIELDS}
    intent = Intent(
        kind=cast("Kind", tags["kind"]),
        origin=_number(tags["origin"]),
        to=int(tags["to"]),
        previous=_number(tags["previous"]),
        why=tags["why"],
        report=tags["report"],
        forced=tags["forced"] == "true",
    )
    return Row(
        number=int(found.name.rpartition("/")[2]),
        intent=intent,
        when=tags["when"],
        who=tags["who"],
        state=cast("State", found.tags[STATE]),
        experiment_id=found.experiment_id,
        nonce=found.tags[NONCE],
    )


def last_change(rows: Sequence[Row]) -> Row | None:
    """The newest row that moved the alias, or is about to."""
    return next((row for row in reversed(rows) if row.changes), None)


def reigns(rows: Sequence[Row]) -> list[int]:
    """The versions that a rollback can go back through, oldest first; the last one stands."""
    stack: list[int] = []
    for row in rows:
        intent = row.intent
        if not row.changes:
            continue
        if intent.kind == "rollback" and intent.to in stack:
            del stack[len(stack) - stack[::-1].index(intent.to) :]
            continue
        if (
            intent.kind == "promotion"
            and intent.origin is not None
            and stack[-1:] != [intent.origin]
        ):
            stack.append(intent.origin)  # the first champion, or one that was put there by hand
        stack.append(intent.to)
    return stack


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _number(text: str) -> int | None:
    return int(text) if text else None
