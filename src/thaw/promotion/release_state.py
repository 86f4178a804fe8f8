"""The release of a version: state, decision that led to it, and the rules of the gate."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from thaw.errors import ThawError
from thaw.evaluation.page.origin_section import now
from thaw.evaluation.page.release_box import Release
from thaw.registry.aliases import aliases
from thaw.registry.artifact_files import file_of_run
from thaw.registry.champion_history import last_move
from thaw.registry.ledger import Ledger
from thaw.registry.ledger_rows import MOVES
from thaw.registry.names import CHALLENGER, CHAMPION, GATE, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Row

_NONE_YET = (
    "The gate has not compared this version with the champion yet: `thaw promote {}` does, and "
    "releases it if it passes."
)
_FIRST = "It was the first version of the model: there was no champion to compare with."
_BY_HAND = "The alias was set by hand, without a promotion (`thaw status`)."
_WITHOUT_GATE = {CHALLENGER, PREVIOUS}
_OF_ALIAS = f"{GATE}/"  # the start of a tag of the gate of another alias than the champion


class _State(NamedTuple):
    """The state of a version in the history of an alias.

    ``row`` is the last decision on it that has a report of the gate.
    """

    label: str
    reason: str
    row: Row | None
    released: bool = False


def release_of(
    client: MlflowClient, name: str, version: int, trusted: Collection[str] = ()
) -> dict[str, Any] | None:
    """Return what pages say about the release of a version; None if nothing was decided on it.

    ``trusted`` are the public keys that sign decisions.

    Raises:
        ThawError: there is no such model.
        MlflowException: there is no such version, or the store failed.
    """
    tags = client.get_model_version(name, str(version)).tags
    verdicts = {tag for tag in tags if tag.startswith(_OF_ALIAS) and f"{tag}.when" in tags}
    given = aliases(client, name)
    others = {tag.removeprefix(_OF_ALIAS) for tag in verdicts} | {*given} - _WITHOUT_GATE
    found = {}
    for alias in (CHAMPION, *sorted(others - {CHAMPION})):
        rows = Ledger(client, name, alias, trusted).rows()
        if (state := _state(rows, alias, version, given.get(alias))) is not None:
            found[alias] = state
    if not found:
        return None
    main = found.pop(CHAMPION, None) or _undecided(version, given.get(CHAMPION))
    more = [
        f"For @{alias}: {state.label.lower()}. {state.reason}" for alias, state in found.items()
    ]
    row = main.row or next((each.row for each in found.values() if each.row), None)
    return Release(
        released=main.released,
        label=main.label,
        reason=" ".join([main.reason, *more]),
        note=f"Read from the registry on {now()}.",
        version=version,
        decided=_day(row) if row else "",
        rules=_rules(client, row) if row else (),
    ).as_json()


def _undecided(version: int, champion: int | None) -> _State:
    """Return the state of a version of which the history of the champion says nothing more."""
    if champion == version:
        return _State(f"Released as {CHAMPION}", _FIRST, None, released=True)
    return _State("Not released", _NONE_YET.format(version), None)


def _state(rows: Sequence[Row], alias: str, version: int, current: int | None) -> _State | None:
    """Return what ``rows`` of ``alias`` say; None if they say no more than the registration."""
    counted = [row for row in rows if row.moves_alias or row.decision.kind not in MOVES]
    about = [row for row in counted if version in _changed_by(row)]
    judged = [row for row in about if row.decision.to == version and row.decision.report]
    gate, last = (judged[-1] if judged else None), last_move(rows)
    if current == version:
        if last is None or last.decision.to != version:
            return _State(f"Released as {alias}", _BY_HAND, gate, released=True)
        if last.decision.kind == "first":
            return None
        return _State(f"Released as {alias}", _given(last), gate, released=True)
    if not about:
        return None
    row = about[-1]
    if row.decision.kind == "refusal":
        stays = f" Version {current} is the {alias}." if current else ""
        text = f"The gate refused it {_by(row)}: {row.decision.why}.{stays}"
        return _State("Refused", text, gate)
    if row.decision.to != version:
        return _State(*_lost(row, alias), gate)
    has_it = f"version {current} has" if current else "no version has"
    text = f"It had the alias {alias} since {_day(row)}, but {has_it} it now (`thaw status`)."
    return _State("Not released", text, gate)


def _changed_by(row: Row) -> set[int | None]:
    """Return the versions that ``row`` decides on: also the one that loses the alias."""
    return {row.decision.to, row.decision.origin if row.moves_alias else None}


def _given(row: Row) -> str:
    """Return how ``row`` gave the alias to its version."""
    decision = row.decision
    if decision.kind == "rollback":
        why = f": {decision.why}" if decision.why else ""
        return f"Version {decision.origin} was rolled back to it {_by(row)}{why}."
    how = "Promoted by force" if decision.forced else "Promoted"
    return f"{how} {_by(row)}: {decision.why}."


def _lost(row: Row, alias: str) -> tuple[str, str]:
    """Return label and reason of the version that lost the alias by ``row``."""
    decision = row.decision
    if decision.kind == "rollback":
        why = f": {decision.why}" if decision.why else ""
        back = f"version {decision.to} was set back {_by(row)}{why}"
        return "Rolled back", f"It was the {alias} until {back}."
    return "Replaced", f"It was the {alias} until version {decision.to} replaced it {_by(row)}."


def _by(row: Row) -> str:
    return f"on {_day(row)} by {row.who}"


def _day(row: Row) -> str:
    """Return when ``row`` was decided, to the minute."""
    return f"{row.when[:10]} {row.when[11:16]} UTC"


def _rules(client: MlflowClient, row: Row) -> list[dict[str, Any]]:
    """Return the rules of the gate's report of ``row``; none if it was removed or changed."""
    run_id, _, path = row.decision.report.removeprefix("runs:/").partition("/")
    if not path:
        return []
    try:
        content = file_of_run(client, run_id, path.replace("report.html", "report.json"))
    except ThawError:  # without them, the sentence above still names the failed rules
        return []
    if content is None or hashlib.sha256(content).hexdigest() != row.decision.report_digest:
        return []
    return [
        {key: rule[key] for key in ("name", "passed", "sentence")}
        for rule in json.loads(content)["rules"]
    ]
