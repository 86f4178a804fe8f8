"""States of the rows of a ledger: how their moves ended, written and read.

A server with accounts lets only the account that wrote a row change it. Another account that makes
its move may edit the registered model: there, a tag says how the row ended. It counts only for rows
that are open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from mlflow.exceptions import MlflowException

from thaw.registry import ledger_tags
from thaw.registry.aliases import is_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Row, State

# Prefix of tags of registered models. Existing models have them: do not change its value.
_ENDED = "thaw.ended_row."  # and the id of the row's experiment
_ENDS = ("done", "void")


def end_row(client: MlflowClient, name: str, row: Row, state: State) -> None:
    """Store how ``row`` of the registered model ``name`` ended.

    The row of another account keeps its state; a tag of the registered model has the end. If this
    account may edit neither, the row stays open.

    Raises:
        MlflowException: the store failed.
    """
    if row.state == state:
        return
    if not _is_written(client.set_experiment_tag, row.experiment_id, ledger_tags.STATE, state):
        _is_written(client.set_registered_model_tag, name, f"{_ENDED}{row.experiment_id}", state)


def _is_written(write: Callable[[str, str, str], object], *values: str) -> bool:
    """Call ``write``; return whether the account may do that."""
    try:
        write(*values)
    except MlflowException as error:
        if not is_refused(error):
            raise
        return False
    return True


def without_move(rows: Sequence[Row], given_up: Row) -> list[Row]:
    """Return ``rows`` with the row ``given_up`` as void, whatever the store says."""
    row_id = given_up.experiment_id
    return [replace(row, state="void") if row.experiment_id == row_id else row for row in rows]


def with_known_ends(client: MlflowClient, name: str, rows: Sequence[Row]) -> list[Row]:
    """Return ``rows``; those that are open get the state that the registered model has for them."""
    if not any(row.state == "open" for row in rows):
        return list(rows)
    ends = client.get_registered_model(name).tags
    return [
        replace(row, state=cast("State", ends[tag]))
        if row.state == "open" and ends.get(tag := f"{_ENDED}{row.experiment_id}") in _ENDS
        else row
        for row in rows
    ]
