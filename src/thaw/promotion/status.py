"""The state of each alias of a registered model: version, age and gate result."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from thaw.metrics.registry import METRICS
from thaw.registry import names
from thaw.registry.aliases import aliases
from thaw.registry.champion_history import (
    approved_versions,
    expected_version,
    first_champion,
    last_move,
)
from thaw.registry.ledger import Ledger
from thaw.registry.ledger_store import aliases_with_open_rows
from thaw.registry.names import CHALLENGER, CHAMPION, PREVIOUS, gate_tag

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Row


@dataclass(frozen=True)
class _History:
    """The rows of an alias, and the first champion if only a tag records it."""

    rows: Sequence[Row]
    first: int | None


@dataclass(frozen=True)
class AliasStatus:
    """An alias, its version, and the gate result of the version.

    ``since``: when the version got the alias, None if no history records it. ``moved_by_hand``: no
    promotion and no rollback gave the version this alias, so that a user should look at it.
    """

    alias: str
    version: int
    metrics: dict[str, float]
    run_id: str
    created: datetime
    since: datetime | None
    gate: str
    moved_by_hand: bool


def alias_statuses(
    client: MlflowClient, name: str, trusted: Collection[str] = ()
) -> list[AliasStatus]:
    """Return the status of every alias of the model ``name``: champion, challenger, previous first.

    Moves that a killed process left open are completed first. ``trusted`` are the public keys that
    sign decisions.

    Raises:
        ThawError: there is no such model, or the version of an open move was deleted.
    """
    with_history = {CHAMPION, *aliases(client, name), *aliases_with_open_rows(client, name)}
    ledgers = [
        Ledger(client, name, alias, trusted)
        for alias in sorted(with_history - {CHALLENGER, PREVIOUS})
    ]
    histories = {one.alias: _History(one.complete(), one.first_by_tag()) for one in ledgers}
    order = [CHAMPION, CHALLENGER, PREVIOUS]
    found = sorted(
        aliases(client, name).items(),
        key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0]),
    )
    return [_status(client, name, alias, number, histories) for alias, number in found]


def _status(
    client: MlflowClient, name: str, alias: str, number: int, histories: dict[str, _History]
) -> AliasStatus:
    entry = client.get_model_version(name, str(number))
    history = histories.get(CHAMPION if alias == PREVIOUS else alias)
    gate, is_moved = _gate_result(entry, alias, history)
    return AliasStatus(
        alias=alias,
        version=number,
        metrics=_scores(entry.tags),
        run_id=entry.run_id or "",
        created=_created(entry),
        since=_since(entry, alias, history),
        gate=gate,
        moved_by_hand=is_moved,
    )


def _scores(tags: Mapping[str, str]) -> dict[str, float]:
    """Return the scores that ``tags`` hold. Anyone can write them: others are left out."""
    found = {}
    for key in METRICS:
        with contextlib.suppress(KeyError, ValueError):
            score = float(tags[f"test.{key}"])
            if math.isfinite(score):
                found[key] = score
    return found


def _gate_result(entry: ModelVersion, alias: str, history: _History | None) -> tuple[str, bool]:
    """Return the gate result of the version, and whether it was given the alias by hand."""
    gate_alias = CHAMPION if history is None or alias == PREVIOUS else alias
    verdict, when, reason = (
        entry.tags.get(gate_tag(tag, gate_alias), "")
        for tag in (names.GATE, names.GATE_WHEN, names.GATE_REASON)
    )
    result = " ".join(part for part in (verdict, when[:16]) if part) or "not offered yet"
    number = int(entry.version)
    is_first = history is not None and number == first_champion(history.rows, history.first)
    if is_first and not verdict:  # the tag was removed, but the history records it
        result = names.FIRST
    if verdict == names.FORCED:
        result += f": {reason}"
    if history is None:  # the challenger
        return result, False
    if number not in approved_versions(history.rows, history.first):
        return f"moved by hand: it passed no gate ({result})", True
    expected = expected_version(history.rows, history.first)
    if alias != PREVIOUS and expected != number:
        return f"moved by hand: the last change was to version {expected} ({result})", True
    return result, False


def _since(entry: ModelVersion, alias: str, history: _History | None) -> datetime | None:
    """Return when the version got the alias; for a first champion, when it was registered."""
    if history is None:
        return None
    row, number = last_move(history.rows), int(entry.version)
    if row is None:
        return _created(entry) if number == history.first else None
    moved_to = row.decision.previous if alias == PREVIOUS else row.decision.to
    return datetime.fromisoformat(row.when) if moved_to == number else None


def _created(entry: ModelVersion) -> datetime:
    return datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)
