"""A row of an alias's history, and the tags of the experiment that keeps it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from thaw.tracking.run_owner import user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.entities import Experiment

Kind = Literal["first", "promotion", "rollback", "refusal"]
State = Literal["open", "done", "void"]
LEDGER = "thaw.ledger"
STATE = "thaw.state"
NONCE = "thaw.nonce"
MODEL = "thaw.model_created"
_FIELDS = ("kind", "when", "who", "origin", "to", "previous", "why", "report", "forced")
_LONGEST = 5000  # characters of an experiment's tag


@dataclass(frozen=True)
class Intent:
    """What a row is about: the alias goes from version ``origin`` to ``to``, or stays.

    ``previous`` is the version that stood there before ``to`` did, for a rollback to find. The
    kind ``first`` is the first version of a model, which needs no gate.
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
    """A row of the history; ``when`` is UTC (ISO 8601), ``number`` counts from 1.

    ``model`` is the creation timestamp (ms) of the registered model that the row is about, 0 where
    that is not known. A model that was deleted and created again has another one.
    """

    number: int
    intent: Intent
    when: str
    who: str
    state: State
    experiment_id: str
    nonce: str
    model: int

    @property
    def changes(self) -> bool:
        """Whether this row moved the alias, or is about to."""
        return self.intent.kind != "refusal" and self.state != "void"


def tags(intent: Intent, ledger: str, alias: str, nonce: str, model: int) -> dict[str, str]:
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
        MODEL: str(model),
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": f"{intent.kind} of @{alias}: {moved}. {intent.why}"[:_LONGEST],
        **{f"thaw.{name}": values[name] for name in _FIELDS},
    }


def read(found: Experiment | None, created: int) -> Row:
    """Return the row that an experiment keeps.

    ``created`` is the creation timestamp (ms) of the registered model as it is now. A row that
    names no model is about this one if it was not made before.
    """
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
        model=int(found.tags.get(MODEL) or (created if _made(found) >= created else 0)),
    )


def last_change(rows: Sequence[Row]) -> Row | None:
    """The newest row that moved the alias, or is about to."""
    return next((row for row in reversed(rows) if row.changes), None)


def expected(rows: Sequence[Row], first: int | None) -> int | None:
    """The version that stands unless an alias was moved by hand; ``first`` needed no gate."""
    change = last_change(rows)
    return first if change is None else change.intent.to


def last_known(rows: Sequence[Row], first: int | None) -> int | None:
    """Return the version that was last seen on the alias, also by hand; None without one.

    A version that was deleted since counts.
    """
    for row in reversed(rows):
        if row.changes:
            return row.intent.to
        if row.intent.origin is not None:
            return row.intent.origin
    return first


def without_gate(rows: Sequence[Row], first: int | None) -> int | None:
    """Return the version that became the champion as the first one."""
    found = (row.intent.to for row in rows if row.changes and row.intent.kind == "first")
    return next(found, first)


def let_in(rows: Sequence[Row], first: int | None) -> set[int]:
    """The versions that a gate let through to the alias, and the one that needed none."""
    kinds = {"promotion", "first"}
    promoted = {row.intent.to for row in rows if row.changes and row.intent.kind in kinds}
    return promoted if first is None else promoted | {first}


def reigns(rows: Sequence[Row], first: int | None = None) -> list[int]:
    """The versions that a rollback can go back through, oldest first; the last one stands.

    One that was put there by hand is none of them.
    """
    known = let_in(rows, first)
    stack = [] if first is None else [first]
    for row in rows:
        if row.changes:
            stack = _after(stack, row.intent, known)
    return stack


def before(rows: Sequence[Row], first: int | None, origin: int | None, to: int) -> int | None:
    """Where a rollback goes back to once ``to`` has taken the place of ``origin``."""
    intent = Intent("promotion", origin, to, previous=None)
    stack = _after(reigns(rows, first), intent, let_in(rows, first) | {to})
    return stack[-2] if len(stack) > 1 else None


def _after(stack: list[int], intent: Intent, known: set[int]) -> list[int]:
    if intent.kind == "rollback":
        if intent.to in stack:
            return stack[: len(stack) - stack[::-1].index(intent.to)]
        return stack[:-1] if stack[-1:] == [intent.origin] else stack
    for number in (intent.origin, intent.to):
        if number in known and stack[-1:] != [number]:
            stack = [*stack, number]
    return stack


def _made(found: Experiment) -> int:
    return found.creation_time or 0


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _number(text: str) -> int | None:
    return int(text) if text else None
