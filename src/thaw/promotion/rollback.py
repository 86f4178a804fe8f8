"""Bring the previous champion back; nothing here imports torch, so that it takes a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.registry.ledger import exists
from thaw.registry.ledger_rows import Intent, reigns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.registry.ledger import Ledger
    from thaw.registry.ledger_rows import Row


def rollback(ledger: Ledger, reason: str) -> Intent:
    """Move the alias back to who stood there before; an alias moved by hand, to who was let in.

    Raises:
        ThawError: nobody stood there before, or the versions were deleted.
        ConflictError: the alias was moved meanwhile.
    """
    rows = ledger.settle()
    standing = ledger.standing()
    stack = earlier(ledger, rows, standing)
    if not stack:
        raise ThawError(
            f"{ledger.name}: there is no previous {ledger.alias} to go back to (`thaw history`)"
        )
    previous = stack[-2] if len(stack) > 1 else None
    intent = Intent("rollback", standing, stack[-1], previous, why=reason)
    ledger.record(intent, rows)
    return intent


def earlier(ledger: Ledger, rows: Sequence[Row], standing: int | None) -> list[int]:
    """Return the versions that a rollback can go back through; it goes to the last one."""
    stack = reigns(rows, ledger.first())
    if stack and stack[-1] == standing:
        stack.pop()
    while stack and not exists(ledger.client, ledger.name, stack[-1]):
        stack.pop()
    return stack
