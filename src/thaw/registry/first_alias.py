"""The alias of a version that was just registered: the first one is the champion."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.registry.doubtful_rows import damage, doubtful_rows
from thaw.registry.ledger import ConflictError, Ledger
from thaw.registry.ledger_rows import Decision
from thaw.registry.names import CHALLENGER, CHAMPION, FIRST, GATE
from thaw.system.console import warn

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient


def give_alias(
    client: MlflowClient, found: ModelVersion, digest: str, trusted: Collection[str]
) -> str:
    """Make ``found`` the champion if it is the first version of its model, else the challenger.

    Returns:
        The alias that it has now.

    Args:
        client: of the store.
        found: the version as the registry has it.
        digest: that of its model directory, which the history records.
        trusted: the public keys that sign decisions.
    """
    ledger, number = Ledger(client, found.name, trusted=trusted), int(found.version)
    rows = ledger.complete()
    current = ledger.current_version()
    # Only for a new model: otherwise a removed champion would be replaced without a gate.
    if number == 1 and current is None:
        is_new = not ledger.view().has_any
        if is_new and not _is_doubtful(ledger) and _can_decide(ledger):
            _set_gate(client, found)
            decision = Decision("first", None, number, None, "first version, no gate", model=digest)
            with contextlib.suppress(ConflictError):  # another process was faster
                ledger.record(decision, rows)
        # Another machine may have recorded it meanwhile, and may not have moved the alias yet.
        ledger.complete()
        current = ledger.current_version()
    if current == number:
        return CHAMPION
    client.set_registered_model_alias(found.name, CHALLENGER, str(number))
    return CHALLENGER


def _set_gate(client: MlflowClient, found: ModelVersion) -> None:
    try:
        client.set_model_version_tag(found.name, found.version, GATE, FIRST)
    except MlflowException:  # MLflow refuses one of two processes that set the same tag at once
        client.set_model_version_tag(found.name, found.version, GATE, FIRST)


def _is_doubtful(ledger: Ledger) -> bool:
    """Return whether rows are damaged that may say that a version was the champion; print them."""
    found = doubtful_rows(ledger)
    if found:
        warn(
            f"{ledger.name}: {damage(found)}: it is not known whether a version was the "
            f"{ledger.alias}, and the version is the {CHALLENGER} (`thaw history --verify`)"
        )
    return bool(found)


def _can_decide(ledger: Ledger) -> bool:
    """Return whether this process can append a row that counts; print why it cannot."""
    try:
        ledger.signer()
    except ThawError as error:
        warn(f"{error}; the first version is the {CHALLENGER}: sign with a key and promote it")
        return False
    return True
