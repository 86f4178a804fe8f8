"""Markers of a merge conflict in a file that a user has not merged to the end."""

from __future__ import annotations

_MARKERS = ("<<<<<<<", "=======", ">>>>>>>")


def conflict(text: str) -> str:
    """Return a note with the line of the first marker of a merge conflict in ``text``, or ""."""
    lines = enumerate(text.splitlines(), 1)
    marked = next((number for number, line in lines if line.startswith(_MARKERS)), None)
    return f" (line {marked} is the marker of a merge conflict)" if marked else ""
