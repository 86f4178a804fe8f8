"""Rows of a ledger that are made without a store, and forged rows in a store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thaw.registry import ledger_tags
from thaw.registry.ledger_chain import common_digest
from thaw.registry.ledger_rows import Decision, Row, chained, new_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.tracking import MlflowClient

    from thaw.registry.signing import Signer

KEY = "m/champion"


def row_after(
    before: Sequence[Row], decision: Decision, signer: Signer | None = None, **changes: Any
) -> Row:
    """Return the row that the tool writes after the rows ``before``; its state is ``done``."""
    number = max((one.number for one in before), default=0) + 1
    head = before[-1].digest if before and before[-1].is_chained else common_digest(before)
    made = new_row(decision, ledger=KEY, nonce=f"nonce {number}", model=400)
    made = replace(made, state="done", experiment_id=str(number), **changes)
    return chained(made, number, head, signer)


def rows(count: int, signer: Signer | None = None, before: Sequence[Row] = ()) -> list[Row]:
    """Return ``before`` and ``count`` promotions after it."""
    made = list(before)
    for _ in range(count):
        last = made[-1].decision.to if made else 0
        made.append(row_after(made, Decision("promotion", last or None, last + 1, None), signer))
    return made


def old_rows(count: int) -> list[Row]:
    """Return rows as thaw 0.1 wrote them, without digests."""
    return [replace(row, parent="", digest="", signer="", signature="") for row in rows(count)]


def written(client: MlflowClient, name: str, tags: dict[str, str]) -> str:
    """Create an experiment, as anyone can who may write to the store; return its id."""
    return str(client.create_experiment(name, tags=tags))


def stored_tags(client: MlflowClient, ledger: str, number: int) -> dict[str, str]:
    """Return the tags of a row."""
    found = client.get_experiment_by_name(f"{ledger_tags.prefix_of(ledger)}{number}")
    assert found is not None
    return dict(found.tags)
