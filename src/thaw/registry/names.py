"""The names under which the registry keeps things: aliases, and tags of a version or a run."""

from __future__ import annotations

PREFIX = "models:/"  # of what names a registered model

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"

DIGEST = "thaw.model_digest"
PARENTS = "thaw.parents"
TEST_DIGEST = "thaw.test_digest"

GATE = "gate"
GATE_WHEN = "gate.when"
GATE_REPORT = "gate.report"
GATE_AGAINST = "gate.against"
GATE_REASON = "gate.reason"
PASSED, REFUSED, FORCED, FIRST = "passed", "refused", "forced", "first, no gate"
CONFLICT = "conflict"  # passed, but somebody else was faster
LET_THROUGH = (PASSED, FORCED, FIRST)

COPIED_FROM = "thaw.copied_from"
COPIED = "copied."  # before a tag of a gate that the version went through elsewhere


def gate_tag(tag: str, alias: str) -> str:
    """``tag`` for the gate of ``alias``: those of the champion's are the plain ones."""
    return tag if alias == CHAMPION else tag.replace(GATE, f"{GATE}/{alias}", 1)
