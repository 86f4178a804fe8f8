"""Keep Python's garbage collector from walking through modules while a program imports them.

Imports make hundreds of thousands of objects that are never freed. With its usual thresholds the
collector walks through all of them several times: about a sixth of the processor time of a start.
"""

from __future__ import annotations

import gc

_IMPORTING = 1_000_000  # new objects between two collections
_usual = gc.get_threshold()


def collect_seldom() -> None:
    """Collect garbage seldom, until :func:`collect_as_usual`."""
    gc.set_threshold(_IMPORTING)


def collect_as_usual() -> None:
    """Collect garbage as Python does by default, and leave out all objects that exist now."""
    gc.freeze()
    gc.set_threshold(*_usual)
