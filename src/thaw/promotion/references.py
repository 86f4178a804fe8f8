"""The versions with which a candidate is compared: the one with the alias, and earlier ones.

A user who can write to the store can move the alias to a weak version, replace the files of a
version, and damage the rows that record it. A candidate is therefore also compared with every
version that a trace names as the last one that a decision gave the alias.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.promotion.rule_result import RuleResult
from thaw.registry.aliases import version_exists
from thaw.registry.artifact_check import ChangedArtifactError, check_artifact
from thaw.registry.champion_history import decided_digests, expected_version, last_move
from thaw.registry.doubtful_rows import claimed_versions
from thaw.registry.ledger_rows import MOVES
from thaw.registry.names import (
    DIGEST,
    FIRST,
    FORCED,
    GATE,
    PASSED,
    PREFIX,
    UNPROTECTED,
    gate_tag,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thaw.promotion.candidate import Candidate
    from thaw.promotion.scoring import ScoredVersion
    from thaw.registry.ledger_rows import Row

_MOST = 5  # versions that are scored beside the candidate and the version with the alias


@dataclass(frozen=True)
class References:
    """The versions to compare with, and what is known about their files.

    ``versions`` starts with the one that has the alias; it is empty if none has it. ``deleted`` is
    the last version that a decision gave the alias, if it was deleted and the alias was moved by
    hand, else None. ``digests`` holds the digest of the model that was decided on, by version.
    """

    versions: Sequence[int] = ()
    deleted: int | None = None
    digests: Mapping[int, str] = field(default_factory=dict)

    def as_decided(self, scored: ScoredVersion) -> ScoredVersion:
        """Return ``scored``, without its scores if its files are not those that were decided on."""
        return scored.if_decided_on(self.digests.get(scored.version, ""))

    def missing(self, alias: str, against: int | None) -> Iterator[RuleResult]:
        """Yield a failed rule if the version to compare with does not exist any more."""
        if self.deleted is None:
            return
        yield RuleResult(
            name="comparison",
            challenger="",
            champion="none",
            needed=f"version {self.deleted}",
            passed=False,
            sentence=(
                f"version {self.deleted}, the last one that a decision made the {alias}, was "
                f"deleted, and version {against} got the alias by hand"
            ),
        )


def find_references(candidate: Candidate) -> References:
    """Return the versions with which ``candidate`` is compared.

    Raises:
        MlflowException: the store failed.
    """
    if candidate.against is None:
        return References()
    ledger, rows = candidate.ledger, candidate.rows
    expected = expected_version(rows, candidate.first) if candidate.is_moved_by_hand else None
    named = {*_damaged(candidate), *_void_moves(candidate), expected}
    if candidate.is_moved_by_hand:
        named |= _seen_since_last_move(rows)
    others = {one for one in named if one is not None} - {candidate.version, candidate.against}
    existing = [one for one in others if version_exists(ledger.client, ledger.name, one)]
    is_deleted = expected in others and expected not in existing
    return References(
        versions=[candidate.against, *sorted(existing, reverse=True)[:_MOST]],
        deleted=expected if is_deleted else None,
        digests={candidate.against: _logged_digest(candidate), **decided_digests(rows)},
    )


def _damaged(candidate: Candidate) -> set[int]:
    """Return the versions that damaged rows, or verdicts without a row, name.

    Rows before the last decision are left out: that one replaced what they say.
    """
    ledger, rows, last = candidate.ledger, candidate.rows, last_move(candidate.rows)
    verdicts = {FIRST, PASSED, FORCED, UNPROTECTED}
    tag = gate_tag(GATE, ledger.alias)
    versions = ledger.client.search_model_versions(f"name = '{ledger.name}'")
    tagged = {int(one.version) for one in versions if one.tags.get(tag) in verdicts}
    moves = [row.decision for row in rows if row.moves_alias]
    without_row = tagged - {one.to for one in moves} - {one.origin for one in moves}
    return without_row | claimed_versions(ledger, after=last.number if last else 0)


def _void_moves(candidate: Candidate) -> Iterator[int]:
    """Yield the versions of moves since the last one that are marked as void, for no reason.

    thaw marks a move so if the version was deleted or its files were changed. Anyone can write the
    mark: it is not in the digest of the row.
    """
    ledger = candidate.ledger
    for row in _since_last_move(candidate.rows):
        decision = row.decision
        if row.state != "void" or decision.kind not in MOVES:
            continue
        if not version_exists(ledger.client, ledger.name, decision.to):
            continue
        try:
            if decision.model:  # rows of earlier versions have none
                check_artifact(ledger.client, ledger.name, decision.to, decision.model)
        except ChangedArtifactError:
            continue
        yield decision.to


def _seen_since_last_move(rows: Sequence[Row]) -> set[int | None]:
    """Return the versions that had the alias when versions were refused since the last move."""
    return {row.decision.origin for row in _since_last_move(rows) if row.decision.kind == "refusal"}


def _since_last_move(rows: Sequence[Row]) -> Sequence[Row]:
    last = last_move(rows)
    return rows[rows.index(last) + 1 :] if last else rows


def _logged_digest(candidate: Candidate) -> str:
    """Return the digest with which the model of the current version was logged, "" if unknown."""
    client = candidate.ledger.client
    source = client.get_model_version(candidate.ledger.name, str(candidate.against)).source or ""
    try:
        model = client.get_logged_model(source.removeprefix(PREFIX))
    except MlflowException:  # registered from files, or by an earlier version
        return ""
    return str(model.tags.get(DIGEST, ""))
