"""Verify the history of an alias: which rows count and why, and what is wrong with the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thaw.errors import ThawError
from thaw.registry.champion_history import last_known_version
from thaw.registry.doubtful_rows import doubtful_rows
from thaw.registry.ledger_rows import Decision
from thaw.system.console import warn
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from thaw.registry.ledger import Ledger
    from thaw.registry.ledger_chain import Problem
    from thaw.registry.ledger_rows import Row

_MOST_SHOWN = 5  # problems, in the output of commands about something else


@dataclass(frozen=True)
class Verification:
    """The rows of a ledger that count, and everything that is wrong with the others.

    ``unsigned`` are rows in the chain that do not count because no trusted key signed them.
    ``head`` is the digest of the last row: a later history that contains it is a continuation.
    """

    ledger: str
    head: str
    rows: Sequence[Row]
    unsigned: Sequence[Row]
    problems: Sequence[Problem]

    @property
    def is_verified(self) -> bool:
        """True if every row counts and the chain has no gap."""
        return not self.problems and not self.unsigned


def verify(ledger: Ledger) -> Verification:
    """Check all rows of ``ledger``; nothing is written and no alias is moved.

    Raises:
        ThawError: there is no such model.
    """
    hidden = _hidden_champion(ledger)
    view = ledger.view()
    named = {one.place for one in view.problems} | {f"row {one.number}" for one in view.unsigned}
    problems = [*view.problems, *(one for one in hidden if one.place not in named)]
    return Verification(ledger.key, view.own.head, view.all_rows, view.unsigned, problems)


def _hidden_champion(ledger: Ledger) -> list[Problem]:
    """Return the damaged rows in the whole store that may hide which version had the alias.

    They are looked for if no version has the alias and no row that counts names one.
    """
    if ledger.current_version() is not None:
        return []
    is_known = last_known_version(ledger.rows(), ledger.first_by_tag()) is not None
    return [] if is_known else doubtful_rows(ledger)


def sign(ledger: Ledger) -> Row:
    """Append a signed row that takes over the unsigned rows before it; return it.

    Raises:
        ThawError: no keys are configured, this process has none, or all rows are signed.
    """
    if not ledger.trusted:
        raise ThawError(
            "promote.public_keys names no key: `thaw signing-key FILE` makes one, and prints the "
            "line for params.yaml"
        )
    view = ledger.view()
    if not view.own.unsigned:
        raise ThawError(f"{ledger.key}: there is no row to sign: leave --sign out")
    taken = ", ".join(str(row.number) for row in view.own.unsigned)
    why = f"takes over the rows {taken}, which were not signed"
    return ledger.record(Decision("signing", None, 0, None, why=why), view.rows)


def how_verified(row: Row, trusted: Collection[str]) -> str:
    """Return why a row counts: its signature, its place in the chain, or its age."""
    if not row.is_chained:
        return "before the chain"
    if row.signer in trusted:
        return f"signed by {row.signer[:16]}..."
    return "in the chain, taken over" if trusted else "in the chain"


def content_of(found: Verification, trusted: Collection[str]) -> dict[str, Any]:
    """Return the result for JSON."""
    return {
        "ledger": found.ledger,
        "verified": found.is_verified,
        "head": found.head,
        "rows": [_row_content(row, how_verified(row, trusted)) for row in found.rows],
        "unsigned": [_row_content(row, "not signed") for row in found.unsigned],
        "problems": [asdict(problem) for problem in found.problems],
    }


def warn_of_problems(ledger: Ledger) -> None:
    """Print the problems of the history of ``ledger``, as warnings."""
    found = verify(ledger)
    for problem in found.problems[:_MOST_SHOWN]:
        warn(f"history of {ledger.key}: {problem}")
    if len(found.problems) > _MOST_SHOWN:
        more = len(found.problems) - _MOST_SHOWN
        warn(f"history of {ledger.key}: {quantity(more, 'more problem')} (`thaw history --verify`)")
    if found.unsigned:
        numbers = ", ".join(str(row.number) for row in found.unsigned[:_MOST_SHOWN])
        rows = quantity(len(found.unsigned), "row is", "rows are")
        warn(
            f"history of {ledger.key}: {rows} not signed by a key of promote.public_keys and not "
            f"counted ({numbers}); if you know what they say, `thaw history --sign`"
        )


def _row_content(row: Row, verified: str) -> dict[str, Any]:
    content = {
        "number": row.number,
        "when": row.when,
        "who": row.who,
        **asdict(row.decision),
        "state": row.state,
        "model_created": row.model,
        "ledger": row.ledger,
        "parent": row.parent,
        "digest": row.digest,
        "signer": row.signer,
        "signature": row.signature,
        "verified": verified,
    }
    return {"from" if key == "origin" else key: value for key, value in content.items()}
