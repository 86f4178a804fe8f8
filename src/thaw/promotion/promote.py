"""Promote a version: run the gate, record the result and, if it passes, move the alias."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.promotion import gate_report, report_storage
from thaw.promotion.candidate import find_candidate
from thaw.promotion.comparison_rules import further_comparisons
from thaw.promotion.few_images import few_images_note
from thaw.promotion.gate import check_rules
from thaw.promotion.gate_data import damage_as_error, open_test_split
from thaw.promotion.gate_notes import champion_notes, rule_notes, same_model_note
from thaw.promotion.gate_protections import minimum_result, off_notes, protections_off
from thaw.promotion.gate_report import Report
from thaw.promotion.lost_champion import explain_lost_champion
from thaw.promotion.origin import read_origin
from thaw.promotion.references import find_references
from thaw.promotion.rule_result import RuleResult
from thaw.promotion.scored_versions import score_versions
from thaw.registry import names
from thaw.registry.alias_names import refuse_similar_alias
from thaw.registry.aliases import aliases
from thaw.registry.champion_history import approved_versions, rollback_version
from thaw.registry.fetch import resolve
from thaw.registry.ledger import Ledger
from thaw.registry.ledger_rows import Decision, check_reason, decider
from thaw.registry.names import CHALLENGER, PREVIOUS
from thaw.system import provenance
from thaw.system.console import activity
from thaw.system.quantities import quantity
from thaw.tracking.run_owner import server_account
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from mlflow.entities.model_registry import ModelVersion

    from thaw.config.params import Params
    from thaw.config.promotion_sections import Promote, Protection
    from thaw.promotion.candidate import Candidate
    from thaw.promotion.origin import Origin
    from thaw.promotion.references import References
    from thaw.promotion.scored_versions import ScoredVersions


@dataclass(frozen=True)
class PromotionRequest:
    """A version and the alias that it is to get.

    ``version`` is None for the challenger. ``force`` promotes even if the gate refuses, and needs a
    ``reason``. ``device`` computes the scores; by default it is a GPU if there is one. ``dry_run``
    runs the gate only: nothing is recorded, and no alias moves.
    """

    name: str
    alias: str
    version: int | None = None
    force: bool = False
    reason: str = ""
    device: torch.device | None = None
    dry_run: bool = False

    def check(self) -> None:
        """Raise if the request cannot be carried out.

        Raises:
            ThawError: force has no reason or is combined with a dry run, the reason cannot be
                stored, or thaw moves the alias itself.
        """
        if self.force and self.dry_run:
            raise ThawError(
                "--dry-run shows what the gate says, which --force ignores: leave one out"
            )
        check_reason(self.reason, is_needed=self.force)
        if self.alias in {CHALLENGER, PREVIOUS}:
            raise ThawError(f"--to {self.alias}: thaw moves that alias itself: give another one")


def promote(params: Params, prepared: Path, request: PromotionRequest) -> Report:
    """Run the gate on the version of ``request``, record the result, and move the alias if allowed.

    A dry run ends after the gate. ``prepared`` is the folder of the prepared data.

    Raises:
        ConflictError: the alias was moved while the gate ran.
        ThawError: the request is not valid, its alias looks like another one, there is no such
            version, its files are not those of the registered model, it has the alias already, the
            alias or its version was removed, or there is no test split to score on.
    """
    request.check()
    client, _ = connect(params.tracking)
    refuse_similar_alias(request.alias, aliases(client, request.name))
    ledger = Ledger(client, request.name, request.alias, params.promote.public_keys)
    if not request.dry_run:
        ledger.signer()  # raises before the gate runs if the decision could not be signed
    candidate = find_candidate(ledger, request.version)
    if candidate.has_lost_champion and not request.force:
        raise ThawError(f"{request.name}: {_lost_champion(candidate)}")
    report = run_gate(params, prepared, candidate, request)
    if not request.dry_run:
        record_result(candidate, report)
    return report


def run_gate(
    params: Params, prepared: Path, candidate: Candidate, request: PromotionRequest
) -> Report:
    """Score the candidate and the current version on the test split, and check all rules.

    ``request`` names the device, and whether and why the alias moves anyway.
    """
    data = open_test_split(prepared)
    ledger, references = candidate.ledger, find_references(candidate)
    versions = [candidate.version, *references.versions]
    entries = [_registry_entry(params, ledger, number) for number in versions]
    read_files = params.promote.provenance.dvc_lock
    with damage_as_error(prepared):
        origin = read_origin(ledger.client, entries[0], data, prepared, read_files=read_files)
    scored = score_versions(params, candidate, references, data, request.device)
    challenger, champion = scored.challenger, scored.champion
    off = protections_off(params.promote, scored.targets)
    git_state = provenance.git_state()
    with activity(f"comparing on {quantity(len(scored.targets), 'test image')}"):
        rules = _check_rules(params.promote, candidate, references, scored, origin, off)
    return Report(
        name=ledger.name,
        version=candidate.version,
        alias=ledger.alias,
        against=candidate.against,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=decider(server_account(ledger.client.tracking_uri)),
        images=len(scored.targets),
        rules=rules,
        metrics=gate_report.metric_values(challenger, champion),
        recalls=gate_report.recalls(challenger, champion),
        notes=[
            *off_notes(off),
            *same_model_note(challenger, champion),
            *few_images_note(params.promote, challenger, champion, scored.targets),
            *champion_notes(candidate, entries[1:2], champion, origin.test_here),
            *rule_notes(git_state, provenance.why_no_commit()),
        ],
        reason=request.reason,
        force=request.force,
        commit=git_state[0] if git_state else "",
        dirty=bool(git_state and git_state[1]),
        model=challenger.digest,
        off=[*off],
    )


def _check_rules(
    settings: Promote,
    candidate: Candidate,
    references: References,
    scored: ScoredVersions,
    origin: Origin,
    off: Mapping[Protection, str],
) -> list[RuleResult]:
    """Return the results of the rules of ``settings`` and of those that always apply."""
    challenger, targets, bins = scored.challenger, scored.targets, scored.bins
    return [
        *check_rules(settings, challenger, scored.champion, targets, origin, bins),
        *filter(None, [minimum_result(settings, off)]),
        *further_comparisons(settings, challenger, scored.others[1:], targets, bins),
        *references.missing(candidate.ledger.alias, candidate.against),
        *_missing_comparison(candidate),
    ]


def record_result(candidate: Candidate, report: Report) -> None:
    """Store the report with the run and the version, then append the row and move the alias.

    Raises:
        ConflictError: the alias was moved since the promotion started.
    """
    is_refused = report.verdict == names.REFUSED
    ledger, rows, first = candidate.ledger, candidate.rows, candidate.first
    address = report_storage.log_report(ledger.client, report)
    decision = Decision(
        kind="refusal" if is_refused else "promotion",
        origin=candidate.against,
        to=candidate.version,
        previous=rollback_version(rows, first, candidate.against, candidate.version),
        why=f"{report.reason} ({report.outcome})" if report.reason else report.outcome,
        report=address,
        forced=report.verdict == names.FORCED,
        model=report.model,
        off=", ".join(report.off),
        report_digest=hashlib.sha256(gate_report.as_json(report).encode()).hexdigest(),
    )
    was_approved = candidate.version in approved_versions(rows, first)
    with report_storage.tagged_version(ledger.client, report, address, was_approved=was_approved):
        ledger.record(decision, rows)


def _registry_entry(params: Params, ledger: Ledger, number: int) -> ModelVersion:
    resolve(f"models:/{ledger.name}/{number}", params.tracking)
    return ledger.client.get_model_version(ledger.name, str(number))


def _lost_champion(candidate: Candidate) -> str:
    return explain_lost_champion(candidate.ledger, candidate.rows, str(candidate.version))


def _missing_comparison(candidate: Candidate) -> list[RuleResult]:
    """Return a failed rule if there should be a champion to compare with, but there is none."""
    if not candidate.has_lost_champion:
        return []
    return [
        RuleResult(
            name="comparison",
            challenger="",
            champion="none",
            needed="a champion",
            passed=False,
            sentence=_lost_champion(candidate),
        )
    ]
