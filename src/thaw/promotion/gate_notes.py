"""Notes in the report of the gate: facts that no rule checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.registry import names

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from thaw.promotion.candidate import Candidate

_NO_CHAMPION = "there is no champion yet: floors, ceilings and provenance alone decide"
_NEW_MODEL = (
    "the registered model was deleted and created again: it is a new model, and the champions of "
    "the earlier one do not count (`thaw history`)"
)
_SCORED_AGAIN = "it was scored again on the current one"


def champion_notes(
    candidate: Candidate, champions: list[ModelVersion], test_here: str
) -> list[str]:
    """Return what a reader of the report must know about the champion, or its absence.

    ``champions`` holds the registry entry of the champion, if there is one; ``test_here`` is the
    digest of the current test split.
    """
    if not champions and candidate.has_lost_champion:
        return []
    if not champions:
        ledger = candidate.ledger
        is_new_model = len(ledger.all_rows()) > len(ledger.rows())
        return [_NO_CHAMPION, _NEW_MODEL] if is_new_model else [_NO_CHAMPION]
    version, tagged = champions[0].version, champions[0].tags.get(names.TEST_DIGEST, "")
    notes = []
    if candidate.is_moved_by_hand:
        notes.append(f"version {version} got the alias by hand: no promotion led to it")
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


def rule_notes(git_state: tuple[str, bool] | None) -> list[str]:
    """Return a note if the rules of the gate may not be committed."""
    if git_state is None:
        return ["this is no git checkout: it is not known whether the rules are committed"]
    commit, is_dirty = git_state
    changed = f"params.yaml, dvc.yaml or src differs from commit {commit[:12]}"
    return [f"{changed}: the rules may differ, too"] if is_dirty else []
