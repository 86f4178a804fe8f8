"""A row of the history of an alias, and the tags of the MLflow experiment that stores it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from thaw.tracking.run_owner import user

if TYPE_CHECKING:
    from mlflow.entities import Experiment

Kind = Literal["first", "promotion", "rollback", "refusal"]
State = Literal["open", "done", "void"]

# Names of tags. Existing ledgers have them: do not change their values.
LEDGER = "thaw.ledger"
STATE = "thaw.state"
NONCE = "thaw.nonce"
MODEL = "thaw.model_created"
_FIELDS = ("kind", "when", "who", "origin", "to", "previous", "why", "report", "forced")
_MAX_TAG_LENGTH = 5000  # characters


@dataclass(frozen=True)
class Decision:
    """The content of a row: the alias moves from version ``origin`` to ``to``, or stays.

    ``kind``: ``first`` is the first version of a model, which needs no gate; a ``refusal`` moves
    nothing. ``previous`` is the version that a rollback from ``to`` returns to. ``report`` is the
    address of the gate's report.
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
    """A row of the history. ``when`` is UTC (ISO 8601), ``number`` counts from 1.

    ``state``: ``open`` until the alias is moved, then ``done``; ``void`` if the version was deleted
    before. ``model`` is the creation timestamp (ms) of the registered model, 0 if it is unknown. A
    model that was deleted and created again has another one.
    """

    number: int
    decision: Decision
    when: str
    who: str
    state: State
    experiment_id: str
    nonce: str
    model: int

    @property
    def moves_alias(self) -> bool:
        """True if this row moved the alias, or is about to move it."""
        return self.decision.kind != "refusal" and self.state != "void"


def row_tags(
    decision: Decision, *, ledger: str, alias: str, nonce: str, model: int
) -> dict[str, str]:
    """Return the tags that the experiment of a new row is created with."""
    state = "done" if decision.kind == "refusal" else "open"
    values = {
        "kind": decision.kind,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": f"{user()}@{socket.gethostname()}",
        "origin": _text(decision.origin),
        "to": str(decision.to),
        "previous": _text(decision.previous),
        "why": decision.why[:_MAX_TAG_LENGTH],
        "report": decision.report,
        "forced": str(decision.forced).lower(),
    }
    move = f"version {_text(decision.origin) or 'none'} to {decision.to}"
    note = f"{decision.kind} of @{alias}: {move}. {decision.why}"
    return {
        LEDGER: ledger,
        STATE: state,
        NONCE: nonce,
        MODEL: str(model),
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": note[:_MAX_TAG_LENGTH],
        **{f"thaw.{name}": values[name] for name in _FIELDS},
    }


def row_of(experiment: Experiment | None, model_created: int) -> Row:
    """Return the row that ``experiment`` stores.

    ``model_created`` is the creation timestamp (ms) of the current registered model. A row without
    the timestamp of its model belongs to this model if the row is not older.
    """
    assert experiment is not None  # rows are never deleted
    tags = {name: experiment.tags.get(f"thaw.{name}", "") for name in _FIELDS}
    decision = Decision(
        kind=cast("Kind", tags["kind"]),
        origin=_number(tags["origin"]),
        to=int(tags["to"]),
        previous=_number(tags["previous"]),
        why=tags["why"],
        report=tags["report"],
        forced=tags["forced"] == "true",
    )
    is_of_this_model = (experiment.creation_time or 0) >= model_created
    return Row(
        number=int(experiment.name.rpartition("/")[2]),
        decision=decision,
        when=tags["when"],
        who=tags["who"],
        state=cast("State", experiment.tags[STATE]),
        experiment_id=experiment.experiment_id,
        nonce=experiment.tags[NONCE],
        model=int(experiment.tags.get(MODEL) or (model_created if is_of_this_model else 0)),
    )


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _number(text: str) -> int | None:
    return int(text) if text else None
