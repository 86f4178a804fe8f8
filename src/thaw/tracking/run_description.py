"""The description of an MLflow run: thaw's note, and beside it what a user wrote."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from thaw.tracking.run_owner import DESCRIPTION, STOPPED_IN

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTE = "thaw.note"  # the tag with length and digest of thaw's note: "120:1a2b3c"
COMPLETED = "thaw.dvc_lock"  # a tag of runs that `evaluate` has described
_OF_STUDIES = ("best so far: trial ", "winner: trial ", "no clear winner: trial ")
_LONGEST = 5000  # characters of both together: a limit of MLflow's servers


def with_note(tags: Mapping[str, str], note: str) -> dict[str, str]:
    """Return the tags that describe a run with ``tags`` by ``note``.

    An earlier note of thaw is replaced. The text of a user stays, above the note.
    """
    own = own_text(tags)
    if own:
        note = note[: max(0, _LONGEST - len(own) - 2)]
    text = "\n\n".join(filter(None, [own, note]))
    return {DESCRIPTION: text, NOTE: f"{len(note)}:{_digest(note)}"}


def beside_own_text(tags: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return ``tags`` for a run with the tags ``found``.

    A description in ``tags`` is the note: it does not replace the text of a user.
    """
    note = tags.get(DESCRIPTION)
    return {**tags, **(with_note(found, note) if note else {})}


def own_text(tags: Mapping[str, str]) -> str:
    """Return what a user wrote into the description in ``tags``.

    thaw's note is left out. It may be above, below or inside of the text.
    """
    text = tags.get(DESCRIPTION, "")
    if NOTE not in tags:
        return "" if _is_earlier_note(text, tags) else text
    length, _, digest = tags[NOTE].partition(":")
    size = int(length) if length.isdecimal() else 0
    for start in range(len(text) - size + 1 if size else 0):
        if _digest(text[start : start + size]) == digest:
            parts = (text[:start].strip(), text[start + size :].strip())
            return "\n\n".join(filter(None, parts))
    return text


def _is_earlier_note(text: str, tags: Mapping[str, str]) -> bool:
    """Return whether thaw wrote ``text`` before it recorded its notes."""
    starts = (f"{tags.get(STOPPED_IN, '')} stopped: ", "Stopped: its process")
    return text.startswith(starts + _OF_STUDIES) or COMPLETED in tags


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
