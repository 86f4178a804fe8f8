"""The tags of the MLflow experiment that stores a row of a ledger: written, and read with care.

Anyone who can write to the store can write such tags. Whatever is not as thaw writes it is a
:class:`BadRowError`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, cast, get_args

from thaw.registry.ledger_rows import (
    MAX_LENGTH,
    Decision,
    Kind,
    Row,
    State,
    values_of,
    version_text,
)
from thaw.tracking.run_owner import DESCRIPTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities import Experiment

# Names of tags. Existing ledgers have them: do not change their values.
LEDGER = "thaw.ledger"
STATE = "thaw.state"
NONCE = "thaw.nonce"
MODEL = "thaw.model_created"
PARENT = "thaw.parent_row"
DIGEST = "thaw.row_digest"
SIGNER = "thaw.signer"
SIGNATURE = "thaw.signature"
# MLflow's page of experiments leaves out those with this tag, which it sets itself on experiments
# that only its gateway uses. It has no other effect. A row counts with and without it.
HIDDEN = "mlflow.experiment.isGateway"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class BadRowError(ValueError):
    """An experiment in the place of a row is not a row that thaw wrote."""


def row_tags(row: Row) -> dict[str, str]:
    """Return the tags that the experiment of a new row is created with."""
    decision, alias = row.decision, row.ledger.rpartition("/")[2]
    move = f"version {version_text(decision.origin) or 'none'} to {decision.to}"
    note = f"{decision.kind} of @{alias}: {move}. {decision.why}"
    return {
        LEDGER: row.ledger,
        STATE: row.state,
        NONCE: row.nonce,
        MODEL: str(row.model),
        PARENT: row.parent,
        DIGEST: row.digest,
        SIGNER: row.signer,
        SIGNATURE: row.signature,
        HIDDEN: "true",
        "mlflow.experimentKind": "custom_model_development",
        DESCRIPTION: note[:MAX_LENGTH],
        **{f"thaw.{name}": value for name, value in values_of(row).items()},
    }


def row_of(experiment: Experiment, ledger: str, model_created: int) -> Row:
    """Return the row that ``experiment`` stores for ``ledger`` (MODEL/ALIAS).

    ``model_created`` is the creation timestamp (ms) of the current registered model. A row without
    the timestamp of its model belongs to this model if the row is not older.

    Raises:
        BadRowError: the experiment is not a row as thaw wrote it.
    """
    tags: Mapping[str, str] = experiment.tags
    number = _row_number(experiment.name, ledger)
    if LEDGER not in tags:
        raise BadRowError("it has the name of a row, but not its tags")
    if tags[LEDGER] != ledger:
        raise BadRowError(f"its tags are those of a row of {tags[LEDGER][:200]!r}")
    is_of_this_model = (experiment.creation_time or 0) >= model_created
    unknown_model = str(model_created if is_of_this_model else 0)
    known = {**tags, MODEL: tags.get(MODEL) or unknown_model}
    row = row_of_tags(known, experiment.experiment_id, ledger, number)
    if row.is_chained and row.digest != row.content_digest():
        raise BadRowError("it was changed: its content does not match its digest")
    return row


def row_of_tags(tags: Mapping[str, str], experiment_id: str, ledger: str, number: int) -> Row:
    """Return the row that ``tags`` describe, without a check of its digest.

    Raises:
        BadRowError: a tag is missing or malformed.
    """
    return Row(
        number=number,
        decision=_decision(tags),
        when=_time(tags),
        who=tags.get("thaw.who", ""),
        state=cast("State", _one_of(tags, STATE, get_args(State))),
        experiment_id=experiment_id,
        nonce=tags.get(NONCE, ""),
        model=_count(tags.get(MODEL, ""), MODEL),
        ledger=ledger,
        parent=tags.get(PARENT, ""),
        digest=tags.get(DIGEST, ""),
        signer=tags.get(SIGNER, ""),
        signature=tags.get(SIGNATURE, ""),
    )


def prefix_of(ledger: str) -> str:
    """Return what the name of every row of ``ledger`` (MODEL/ALIAS) starts with."""
    return f"promotion/{ledger}/"


def _row_number(name: str, ledger: str) -> int:
    prefix = prefix_of(ledger)
    if not name.startswith(prefix):
        raise BadRowError("it was renamed: it has the tags of a row, but not its name")
    text = name.removeprefix(prefix)
    if not _NUMBER.fullmatch(text):
        raise BadRowError(f"its name ends with {text[:40]!r}, which is not the number of a row")
    return int(text)


def _decision(tags: Mapping[str, str]) -> Decision:
    kind = cast("Kind", _one_of(tags, "thaw.kind", get_args(Kind)))
    forced = _one_of({"thaw.forced": "false", **tags}, "thaw.forced", ("true", "false", ""))
    return Decision(
        kind=kind,
        origin=_version(tags, "origin"),
        to=0 if kind == "signing" else _required_version(tags),
        previous=_version(tags, "previous"),
        why=tags.get("thaw.why", ""),
        report=tags.get("thaw.report", ""),
        forced=forced == "true",
        model=tags.get("thaw.model", ""),
        report_digest=tags.get("thaw.report_digest", ""),
        off=tags.get("thaw.off", ""),
    )


def _one_of(tags: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = tags.get(name)
    if value not in allowed:
        raise BadRowError(
            f"its tag {name} is {str(value)[:40]!r}, not one of {', '.join(filter(None, allowed))}"
        )
    return value


def _required_version(tags: Mapping[str, str]) -> int:
    number = _version(tags, "to")
    if number is None:
        raise BadRowError("its tag thaw.to is missing")
    return number


def _version(tags: Mapping[str, str], name: str) -> int | None:
    text = tags.get(f"thaw.{name}", "")
    return _count(text, f"thaw.{name}") if text else None


def _count(text: str, name: str) -> int:
    if text != "0" and not _NUMBER.fullmatch(text):
        raise BadRowError(f"its tag {name} is {text[:40]!r}, which is not a number")
    return int(text)


def _time(tags: Mapping[str, str]) -> str:
    text = tags.get("thaw.when", "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRowError(f"its tag thaw.when is {text[:40]!r}, which is not a time") from None
    if moment.tzinfo is None:
        raise BadRowError(f"its tag thaw.when is {text[:40]!r}, without a time zone")
    return text
