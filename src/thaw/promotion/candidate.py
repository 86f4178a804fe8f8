"""The candidate for an alias, and the state of the alias when the promotion started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.registry.aliases import aliases
from thaw.registry.champion_history import expected_version, last_known_version
from thaw.registry.doubtful_rows import doubtful_rows
from thaw.registry.names import CHALLENGER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.registry.ledger import Ledger
    from thaw.registry.ledger_chain import Problem
    from thaw.registry.ledger_rows import Row


@dataclass(frozen=True)
class Candidate:
    """A version for an alias, and the state of the alias when the promotion started.

    ``against`` is the version that had the alias, None if none had it. ``first`` is the first
    champion if only a tag records it. ``doubtful`` are damaged rows that may say that a version had
    the alias; they are looked for only if no version has it and no row that counts names one.
    """

    ledger: Ledger
    version: int
    against: int | None
    rows: Sequence[Row]
    first: int | None = None
    doubtful: Sequence[Problem] = ()

    @property
    def has_lost_champion(self) -> bool:
        """True if no version has the alias now, but one had it or may have had it.

        A comparison is not possible then.
        """
        if self.against is not None:
            return False
        return bool(self.doubtful) or last_known_version(self.rows, self.first) is not None

    @property
    def is_moved_by_hand(self) -> bool:
        """True if the version with the alias did not get it by a promotion."""
        return self.against is not None and self.against != expected_version(self.rows, self.first)


def find_candidate(ledger: Ledger, version: int | None = None) -> Candidate:
    """Return the candidate ``version``, by default the challenger.

    A move of the alias that a killed process left open is completed first.

    Raises:
        ThawError: there is no challenger, or the version has the alias already.
    """
    rows = ledger.complete()
    current = aliases(ledger.client, ledger.name)
    version = current.get(CHALLENGER) if version is None else version
    against = current.get(ledger.alias)
    if version is None:
        champion = f", and version {against} is the {ledger.alias}" if against else ""
        raise ThawError(
            f"{ledger.name} has no @{CHALLENGER}{champion}: name a version "
            "(`thaw promote NUMBER`), or train another model"
        )
    if version == against:
        raise ThawError(
            f"{ledger.name} version {version} is the {ledger.alias} already: name another version "
            "(`thaw status`)"
        )
    first = ledger.first_by_tag()
    is_unknown = against is None and last_known_version(rows, first) is None
    doubtful = doubtful_rows(ledger) if is_unknown else ()
    return Candidate(ledger, version, against, rows, first, doubtful)
