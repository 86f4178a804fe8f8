"""Move the aliases of a registered model as a decision says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.registry.aliases import aliases, is_refused, version_exists
from thaw.registry.names import CHALLENGER, CHAMPION, PREVIOUS
from thaw.system.console import warn

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from thaw.registry.ledger_rows import Decision, Row


class RefusedMoveError(ThawError):
    """The account may read the model, and may not move its aliases."""

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(
            f"{name}: the {alias} was not moved, because the server refuses that to this account: "
            "it needs the permission EDIT on the registered model"
        )


class GivenUpMoveError(ThawError):
    """A decided move cannot be made any more: its version was deleted, or its files changed."""


def move_aliases(client: MlflowClient, name: str, alias: str, decision: Decision) -> None:
    """Move ``alias`` and those that follow it; write only what differs.

    A move that was made already needs no permission to write.

    Raises:
        MlflowException: the store failed or refused, or there is no such version.
    """
    current = aliases(client, name)
    if current.get(alias) != decision.to:
        client.set_registered_model_alias(name, alias, str(decision.to))
    if alias != CHAMPION:
        return
    previous = decision.previous
    if previous is None or not version_exists(client, name, previous):
        if PREVIOUS in current:
            _remove(client, name, PREVIOUS)
    elif current.get(PREVIOUS) != previous:
        client.set_registered_model_alias(name, PREVIOUS, str(previous))
    if current.get(CHALLENGER) == decision.to:
        _remove(client, name, CHALLENGER)


def warn_of_open_move(name: str, alias: str, row: Row) -> None:
    """Warn that ``row`` waits for an account that may move the alias."""
    warn(
        f"{name}: row {row.number} of the history makes version {row.decision.to} the {alias}, but "
        "the alias was not moved yet, and this account may not move it: an account with the "
        "permission EDIT on the registered model does it by `thaw status`"
    )


def _remove(client: MlflowClient, name: str, alias: str) -> None:
    """Remove ``alias``; warn if this account may move aliases, but not remove them.

    Raises:
        MlflowException: the store failed.
    """
    try:
        client.delete_registered_model_alias(name, alias)
    except MlflowException as error:
        if not is_refused(error):
            raise
        warn(
            f"{name}: @{alias} was not removed, because the server refuses that to this account: "
            "it needs the permission MANAGE on the registered model"
        )
