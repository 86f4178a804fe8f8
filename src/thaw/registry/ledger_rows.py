"""A row of the history of an alias: a decision, its place in the chain and its signature."""

from __future__ import annotations

import hashlib
import json
import socket
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from thaw.errors import ThawError
from thaw.tracking.run_owner import user

if TYPE_CHECKING:
    from thaw.registry.signing import Signer

Kind = Literal["first", "promotion", "rollback", "refusal", "signing"]
State = Literal["open", "done", "void"]

MAX_LENGTH = 5000  # characters of a tag
_LONGEST_REASON = 1000  # characters; a row has the result of the gate beside it
MOVES = ("first", "promotion", "rollback")


@dataclass(frozen=True)
class Decision:
    """The content of a row: the alias moves from version ``origin`` to ``to``, or stays.

    ``kind``: ``first`` is the first version of a model, which needs no gate; a ``refusal`` moves
    nothing; ``signing`` takes over the rows before it, and its ``to`` is 0. ``previous`` is the
    version that a rollback from ``to`` returns to. ``report`` is the address of the gate's report,
    ``report_digest`` the SHA-256 of its JSON, ``model`` the digest of the model directory of
    ``to``. ``off`` names the protections of the gate that were off, separated by commas.
    """

    kind: Kind
    origin: int | None
    to: int
    previous: int | None
    why: str = ""
    report: str = ""
    forced: bool = False
    model: str = ""
    report_digest: str = ""
    off: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the history. ``when`` is UTC (ISO 8601), ``number`` counts from 1.

    ``state``: ``open`` until the alias is moved, then ``done``; ``void`` if it is not moved: the
    version was deleted or changed before, or the account may not move it. ``who`` is USER@HOST of
    the process, with the account of the server where that differs: all of it is what the process
    says. ``model`` is the creation timestamp (ms) of the registered model, 0 if it is unknown. A
    model that was deleted and created again has another one. ``ledger`` is MODEL/ALIAS.

    ``parent`` is the digest of the row before, ``digest`` that of this row with ``parent``. Both
    are "" in rows that were written before the chain. ``signer`` is the public key of the one who
    signed ``digest``, "" if it is not signed.
    """

    number: int
    decision: Decision
    when: str
    who: str
    state: State
    experiment_id: str
    nonce: str
    model: int
    ledger: str = ""
    parent: str = ""
    digest: str = ""
    signer: str = ""
    signature: str = ""

    @property
    def moves_alias(self) -> bool:
        """True if this row moved the alias, or is about to move it."""
        return self.decision.kind in MOVES and self.state != "void"

    @property
    def is_chained(self) -> bool:
        """True unless the row was written before rows had digests."""
        return bool(self.digest)

    def content_digest(self) -> str:
        """Return the SHA-256 of everything in the row except for its state."""
        values = {
            "format": 1,
            "ledger": self.ledger,
            "number": self.number,
            "nonce": self.nonce,
            "model_created": self.model,
            "parent": self.parent,
            **values_of(self),
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def new_row(decision: Decision, *, ledger: str, nonce: str, model: int, account: str = "") -> Row:
    """Return the row of ``decision``, before it has a number and a place in the chain.

    ``account`` is the account of the server that this process uses, "" for none.
    """
    return Row(
        number=0,
        decision=replace(decision, why=_storable(decision.why)),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=decider(account),
        state="open" if decision.kind in MOVES else "done",
        experiment_id="",
        nonce=nonce,
        model=model,
        ledger=ledger,
    )


def chained(row: Row, number: int, parent: str, signer: Signer | None) -> Row:
    """Return ``row`` with its number, its place in the chain and, given a signer, its signature."""
    row = replace(row, number=number, parent=parent)
    row = replace(row, digest=row.content_digest())
    if signer is None:
        return row
    return replace(row, signer=signer.public, signature=signer.sign(row.digest))


def decider(account: str) -> str:
    """Return user and machine of this process, and ``account`` where it differs from the user."""
    name = user()
    place = f"{name}@{socket.gethostname()}"
    return _storable(f"{place} (account {account})" if account not in {"", name} else place)


def values_of(row: Row) -> dict[str, str]:
    """Return the values of ``row`` by field, as text."""
    decision = row.decision
    return {
        "kind": decision.kind,
        "when": row.when,
        "who": row.who,
        "origin": version_text(decision.origin),
        "to": str(decision.to),
        "previous": version_text(decision.previous),
        "why": decision.why,
        "report": decision.report,
        "forced": str(decision.forced).lower(),
        "model": decision.model,
        "report_digest": decision.report_digest,
        "off": decision.off,
    }


def check_reason(reason: str, *, is_needed: bool = False) -> None:
    """Raise if a row cannot hold the whole of ``reason``, the text of a user.

    Raises:
        ThawError: it is too long, has bytes that are no text, or ``is_needed`` and nothing in it
            can be seen.
    """
    categories = {unicodedata.category(character) for character in reason}
    if is_needed and not any(category[0] in "LNPS" for category in categories):
        raise ThawError('--force needs a reason: --force --reason "..."')
    if "Cs" in categories:  # what Python makes of bytes that are not text
        raise ThawError("--reason has bytes that are not valid text in this environment")
    if len(reason) > _LONGEST_REASON:
        raise ThawError(
            f"--reason has {len(reason):,} characters: give at most {_LONGEST_REASON:,}"
        )


def _storable(text: str) -> str:
    """Return ``text`` as every store gives it back: not too long, without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)[:MAX_LENGTH]


def version_text(number: int | None) -> str:
    """Return the number of a version as text, "" for none."""
    return "" if number is None else str(number)
