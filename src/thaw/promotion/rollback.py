"""Make the previous champion the champion again. This module does not import torch: it is fast."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.registry.aliases import version_exists
from thaw.registry.champion_history import champion_stack, decided_digests
from thaw.registry.ledger_rows import Decision, check_reason
from thaw.registry.names import CHAMPION, DIGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.registry.ledger import Ledger
    from thaw.registry.ledger_rows import Row


def rollback(ledger: Ledger, reason: str) -> Decision:
    """Move the alias back to the approved version that had it before.

    If the alias was moved by hand, that is the last approved version.

    Raises:
        ThawError: no version had the alias before, or those versions were deleted, the files of
            the version were changed after registration, or the reason cannot be stored.
        ConflictError: the alias was moved meanwhile.
    """
    check_reason(reason)
    rows = ledger.complete()
    current = ledger.current_version()
    targets = rollback_targets(ledger, rows, current)
    if not targets:
        raise ThawError(
            f"{ledger.name}: there is no previous {ledger.alias} to go back to (`thaw history`)"
        )
    previous = targets[-2] if len(targets) > 1 else None
    entry = ledger.client.get_model_version(ledger.name, str(targets[-1]))
    digest = decided_digests(rows).get(targets[-1]) or entry.tags.get(DIGEST, "")
    decision = Decision("rollback", current, targets[-1], previous, why=reason, model=digest)
    ledger.record(decision, rows)
    return decision


def rollback_command(name: str, alias: str) -> str:
    """Return the command that rolls ``alias`` of the registered model ``name`` back."""
    option = "" if alias == CHAMPION else f" --alias {alias}"
    return f"thaw rollback --model {shlex.quote(name)}{option}"


def rollback_targets(ledger: Ledger, rows: Sequence[Row], current: int | None) -> list[int]:
    """Return the versions that rollbacks go back through; the next rollback goes to the last."""
    stack = champion_stack(rows, ledger.first_by_tag())
    if stack and stack[-1] == current:
        stack.pop()
    while stack and not version_exists(ledger.client, ledger.name, stack[-1]):
        stack.pop()
    return stack
