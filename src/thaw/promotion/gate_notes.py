"""Notes in the report of the gate: facts that no rule checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.registry import names
from thaw.registry.aliases import model_created_at
from thaw.registry.doubtful_rows import damage
from thaw.registry.names import CHAMPION

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from thaw.promotion.candidate import Candidate
    from thaw.promotion.scoring import ScoredVersion
    from thaw.registry.ledger import Ledger

_ALONE = "floors, ceilings and provenance alone decide"
_NEW_MODEL = (
    "the history has rows of an earlier registered model of this name, which {happened}: this is a "
    "new model, and the champions of the earlier one do not count (`thaw history`)"
)
_SCORED_AGAIN = "it was scored again on the current one"


def champion_notes(
    candidate: Candidate,
    champions: list[ModelVersion],
    scored: ScoredVersion | None,
    test_here: str,
) -> list[str]:
    """Return what a reader of the report must know about the champion, or its absence.

    ``champions`` holds the registry entry of the champion, if there is one, and ``scored`` its
    scores here; ``test_here`` is the digest of the current test split.
    """
    if not champions and candidate.has_lost_champion:
        return []
    if not champions:
        return [_nothing_to_compare_with(candidate.ledger.alias), *_new_model(candidate.ledger)]
    version, tagged = champions[0].version, champions[0].tags.get(names.TEST_DIGEST, "")
    notes = _damage_note(candidate.ledger)
    if candidate.is_moved_by_hand:
        notes.append(f"version {version} got the alias by hand: no promotion led to it")
    if scored is None or scored.probabilities is None:
        return notes
    if not tagged:
        notes.append(
            f"the test split that version {version} was scored on is unknown: {_SCORED_AGAIN}"
        )
    elif tagged != test_here:
        notes.append(
            f"the test split changed since version {version} was scored: {_SCORED_AGAIN}, and may "
            "have been trained on images that are now in it: its scores may be too high"
        )
    return notes


def _damage_note(ledger: Ledger) -> list[str]:
    """Return a note if rows of the history are damaged, nothing if all are in order."""
    problems = ledger.view().problems
    return [f"{damage(problems)} (`thaw history --verify`)"] if problems else []


def same_model_note(challenger: ScoredVersion, champion: ScoredVersion | None) -> list[str]:
    """Return a note if both versions are the same model: no weight differs."""
    if champion is None or not challenger.content or challenger.content != champion.content:
        return []
    return [
        f"version {challenger.version} is the same model as version {champion.version}: every "
        "weight is equal, so that a promotion changes no prediction"
    ]


def _nothing_to_compare_with(alias: str) -> str:
    if alias == CHAMPION:
        return f"there is no champion yet: {_ALONE}"
    return f"no version has the alias {alias} yet, so that nothing is compared: {_ALONE}"


def _new_model(ledger: Ledger) -> list[str]:
    earlier = {row.model for row in ledger.all_rows()} - {ledger.model_created}
    if not earlier:
        return []
    renamed = model_created_at(ledger.client, max(earlier))
    happened = f"was renamed to {renamed}" if renamed else "was deleted"
    return [_NEW_MODEL.format(happened=happened)]


def rule_notes(git_state: tuple[str, bool] | None, reason: str) -> list[str]:
    """Return a note if the rules of the gate may not be committed.

    ``reason`` says why there is no ``git_state``.
    """
    if git_state is None:
        return [f"{reason}: it is not known whether the rules are committed"]
    commit, is_dirty = git_state
    changed = f"params.yaml, dvc.yaml, thaw.lock or src differs from commit {commit[:12]}"
    return [f"{changed}: the rules may differ, too; commit the change"] if is_dirty else []
