"""Numbers of things in messages."""

from __future__ import annotations


def quantity(count: int, singular: str, plural: str = "") -> str:
    """Return ``count`` with the words for it: "1 image", "1,204 images".

    ``plural`` is needed where more than an added "s" differs: "1 row is", "2 rows are".
    """
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"
