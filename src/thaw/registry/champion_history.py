"""Questions about the rows of an alias's history: which versions had the alias, and how.

In all functions, ``first`` is the first champion if only a tag of its version records it, as in
histories of older versions of thaw, else None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.registry.ledger_rows import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.registry.ledger_rows import Row


def last_move(rows: Sequence[Row]) -> Row | None:
    """Return the newest row that moved the alias, or is about to move it."""
    return next((row for row in reversed(rows) if row.moves_alias), None)


def expected_version(rows: Sequence[Row], first: int | None) -> int | None:
    """Return the version that has the alias, unless the alias was moved by hand."""
    row = last_move(rows)
    return first if row is None else row.decision.to


def last_known_version(rows: Sequence[Row], first: int | None) -> int | None:
    """Return the version that a row last saw with the alias, or None.

    It may have got the alias by hand, and it may be deleted now.
    """
    for row in reversed(rows):
        if row.moves_alias:
            return row.decision.to
        if row.decision.origin is not None:
            return row.decision.origin
    return first


def decided_digests(rows: Sequence[Row]) -> dict[int, str]:
    """Return the digest of the model that was last decided on, by version."""
    return {row.decision.to: row.decision.model for row in rows if row.decision.model}


def first_champion(rows: Sequence[Row], first: int | None) -> int | None:
    """Return the version that became the champion without a gate, as the first of its model."""
    found = (row.decision.to for row in rows if row.moves_alias and row.decision.kind == "first")
    return next(found, first)


def approved_versions(rows: Sequence[Row], first: int | None) -> set[int]:
    """Return the versions that passed the gate of the alias, and the first champion."""
    kinds = {"promotion", "first"}
    approved = {row.decision.to for row in rows if row.moves_alias and row.decision.kind in kinds}
    return approved if first is None else approved | {first}


def champion_stack(rows: Sequence[Row], first: int | None = None) -> list[int]:
    """Return the approved versions that rollbacks go back through, oldest first.

    The last one has the alias now. A version that got the alias by hand is left out.
    """
    approved = approved_versions(rows, first)
    stack = [] if first is None else [first]
    for row in rows:
        if row.moves_alias:
            stack = _stack_after(stack, row.decision, approved)
    return stack


def rollback_version(
    rows: Sequence[Row], first: int | None, origin: int | None, to: int
) -> int | None:
    """Return the version that a rollback returns to after ``to`` has replaced ``origin``."""
    decision = Decision("promotion", origin, to, previous=None)
    approved = approved_versions(rows, first) | {to}
    stack = _stack_after(champion_stack(rows, first), decision, approved)
    return stack[-2] if len(stack) > 1 else None


def _stack_after(stack: list[int], decision: Decision, approved: set[int]) -> list[int]:
    if decision.kind == "rollback":
        if decision.to in stack:
            return stack[: len(stack) - stack[::-1].index(decision.to)]
        return stack[:-1] if stack[-1:] == [decision.origin] else stack
    for number in (decision.origin, decision.to):
        if number in approved and stack[-1:] != [number]:
            stack = [*stack, number]
    return stack
