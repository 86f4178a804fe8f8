"""The chain of the rows of a ledger: which rows count, and what is wrong with the others.

Each row holds the digest of the row before. Without trusted keys, a row counts if it follows the
row before. With them, it counts if one of the keys signed it, or if a signed row of the kind
``signing`` takes it over, through an unbroken line of digests.

Rows of thaw 0.1 have no digest. They count if they stand before the chain, whose first row holds
their common digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.registry.signing import is_signature

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from thaw.registry.ledger_rows import Row

_LARGEST_STEP = 1000  # between the numbers of two rows: others may have taken numbers in between


@dataclass(frozen=True)
class Problem:
    """An experiment that is skipped, or a place where the chain is broken.

    ``place`` is the name of the experiment or the number of the row. ``is_skipped``: it does not
    count.
    """

    place: str
    reason: str
    is_skipped: bool = True

    def __str__(self) -> str:
        place = self.place.replace("\n", "\\n")  # a name that anyone can write
        return f"{place}: {self.reason}{' (skipped)' if self.is_skipped else ''}"


@dataclass(frozen=True)
class Chain:
    """The rows that count, ordered by number, and the problems that were found.

    ``unsigned`` are rows in the chain that do not count because no trusted key signed them.
    ``head`` is the digest that the next row holds as its parent, ``last`` the number before it.
    """

    rows: Sequence[Row]
    problems: Sequence[Problem]
    unsigned: Sequence[Row]
    head: str
    last: int


def check_chain(rows: Sequence[Row], trusted: Collection[str]) -> Chain:
    """Return which of ``rows`` of one ledger count. ``trusted`` are the public keys, if any.

    An open row counts only if it is in the chain, so that no other row is ever acted on.
    """
    ordered = sorted(rows, key=lambda row: row.number)
    first = next((row.number for row in ordered if row.is_chained), None)
    early = [row for row in ordered if first is None or row.number < first]
    late = [row for row in ordered if not row.is_chained and row not in early]
    chained = [row for row in ordered if row.is_chained]
    signed = [row for row in chained if _is_signed(row, trusted)]
    problems = [
        *(_skipped(row, "it is in the old form, but the chain begins before it") for row in late),
        *(_skipped(row, "it is open and older than the chain") for row in early if _is_open(row)),
    ]
    early_digest = common_digest(early)
    if chained and early and chained[0].parent != early_digest:
        reason = f"the rows before row {chained[0].number} were changed after it was written"
        problems += [_skipped(row, reason) for row in early if not _is_open(row)]
        early = []
    linked, broken = _linked(chained, early, signed)
    counted = [*(row for row in early if not _is_open(row)), *linked]
    unsigned: list[Row] = []
    if trusted:
        kept = {*(row.number for row in signed), *_taken_over(signed, chained, early)}
        unsigned = [row for row in counted if row.number not in kept]
        counted = [row for row in counted if row.number in kept]
    return Chain(
        rows=counted,
        problems=[*problems, *broken],
        unsigned=unsigned,
        head=linked[-1].digest if linked else early_digest,
        last=max((row.number for row in (*early, *linked)), default=0),
    )


def common_digest(rows: Sequence[Row]) -> str:
    """Return a digest of all ``rows``, "" for none."""
    if not rows:
        return ""
    return hashlib.sha256("\n".join(row.content_digest() for row in rows).encode()).hexdigest()


def _linked(
    chained: list[Row], early: list[Row], signed: list[Row]
) -> tuple[list[Row], list[Problem]]:
    """Return the rows of the chain that count if signatures are left aside, and the problems."""
    kept: list[Row] = []
    problems = []
    last = early[-1].number if early else 0
    head, known = common_digest(early), {common_digest(early)}
    for row in chained:
        if row.number > last + _LARGEST_STEP and row not in signed:
            problems.append(_skipped(row, f"its number is not near that of row {last}"))
            continue
        if row.parent != head:
            is_fork = row.parent in known and row not in signed
            if is_fork or _is_open(row):
                problems.append(_skipped(row, f"it does not follow row {last}"))
                continue
            reason = "the row before it was changed or removed"
            problems.append(Problem(f"row {row.number}", reason, is_skipped=False))
        kept.append(row)
        head, last = row.digest, row.number
        known.add(head)
    return kept, problems


def _taken_over(signed: list[Row], chained: list[Row], early: list[Row]) -> set[int]:
    """Return the numbers of the rows that signed rows of the kind ``signing`` take over."""
    by_digest = {row.digest: row for row in chained}
    numbers: set[int] = set()
    for row in signed:
        if row.decision.kind != "signing":
            continue
        while (before := by_digest.get(row.parent)) and before.number < row.number:
            numbers.add(before.number)
            row = before
        if early and row.parent == common_digest(early):
            numbers |= {one.number for one in early}
    return numbers


def _is_signed(row: Row, trusted: Collection[str]) -> bool:
    return row.signer in trusted and is_signature(row.signer, row.digest, row.signature)


def _is_open(row: Row) -> bool:
    return row.state == "open"


def _skipped(row: Row, reason: str) -> Problem:
    return Problem(f"row {row.number}", reason)
