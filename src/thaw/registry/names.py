"""Names in the registry: aliases, and tags of a version or a run."""

from __future__ import annotations

import re

from thaw.errors import ThawError
from thaw.system.path_texts import refuse_undecodable_text

PREFIX = "models:/"  # of the URI of a registered model

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"

DIGEST = "thaw.model_digest"
CONTENT = "thaw.model_content"  # digest of what the model computes, however it was made
PARENTS = "thaw.parents"
TEST_DIGEST = "thaw.test_digest"

GATE = "gate"
GATE_WHEN = "gate.when"
GATE_REPORT = "gate.report"
GATE_AGAINST = "gate.against"
GATE_REASON = "gate.reason"
PASSED, REFUSED, FORCED, FIRST = "passed", "refused", "forced", "first, no gate"
UNPROTECTED = "passed, protections off"  # passed rules that leave out a protection
CONFLICT = "conflict"  # passed, but another process moved the alias first

COPIED_FROM = "thaw.copied_from"
COPIED = "copied."  # prefix of a tag of the gate of the model that a version was copied from
_URI = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>[1-9][0-9]{0,8}))")


def require_version(uri: str, key: str = "") -> re.Match[str]:
    """Return the groups ``name``, ``alias`` and ``version`` of the URI of a registered model.

    ``key`` is the parameter that has it.

    Raises:
        ThawError: it has another form, or is no text.
    """
    refuse_undecodable_text(uri, key or "the model")
    found = _URI.fullmatch(uri)
    if found is None:
        what = f"{key}: {uri}" if key else uri
        raise ThawError(f"{what}: must be models:/NAME@ALIAS or models:/NAME/VERSION")
    return found


def gate_tag(tag: str, alias: str) -> str:
    """Return the name of ``tag`` for the gate of ``alias``; for the champion, it is unchanged."""
    return tag if alias == CHAMPION else tag.replace(GATE, f"{GATE}/{alias}", 1)
