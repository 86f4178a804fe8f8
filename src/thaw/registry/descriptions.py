"""The descriptions of a registered model and of its versions: model card and gate's result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.tracking.store import connect

if TYPE_CHECKING:
    from thaw.config.result_sections import Tracking

OF_MODEL = (
    "An image classifier. The version with the alias champion is released, challenger is compared "
    "with it next (`thaw promote`), previous was the champion before (`thaw rollback`)."
)
GATE_MARK = "**Gate: "  # the start of a note of the gate
_LONGEST = 5000  # characters; MLflow's column has no more
_LINE = "\n\n---\n\n"
_CUT = "\n\n(shortened: the run has the whole text in MODEL_CARD.md)\n"


def describe(tracking: Tracking, name: str, version: int, text: str) -> None:
    """Set the description of a version, unless it has one: a user may have written it."""
    client, _ = connect(tracking)
    if not client.get_model_version(name, str(version)).description:
        client.update_model_version(name, str(version), description=_limited(text))


def with_note(note: str, present: str | None) -> str:
    """Return the description ``present`` below the gate's ``note``, in place of an earlier note."""
    card = present or ""
    if card.startswith(GATE_MARK):
        card = card.partition(_LINE)[2]
    return _limited(note.strip() + (f"{_LINE}{card}" if card else "\n"))


def _limited(text: str) -> str:
    """Return ``text``, without its last lines if it is too long."""
    if len(text) <= _LONGEST:
        return text
    return text[: _LONGEST - len(_CUT)].rpartition("\n")[0] + _CUT
