"""Rules for the names of aliases of registered models."""

from __future__ import annotations

import re

from thaw.errors import ThawError

_ALIAS = re.compile(r"[A-Za-z][\w-]*")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)  # MLflow refuses to move them


def is_alias(name: str) -> bool:
    """Return whether ``name`` can be the name of an alias."""
    return bool(_ALIAS.fullmatch(name)) and not _RESERVED.fullmatch(name)


def check_alias(alias: str) -> None:
    """Raise if ``alias`` cannot be the name of an alias.

    Raises:
        ThawError: it does not start with a letter, has other characters than letters, digits, ``_``
            and ``-``, or is reserved by MLflow.
    """
    if not _ALIAS.fullmatch(alias):
        raise ThawError(
            f"{alias!r} is not a valid alias: start with a letter, then use letters, digits, "
            "'_' or '-'"
        )
    if _RESERVED.fullmatch(alias):
        raise ThawError(f"{alias!r} is reserved by MLflow, as are v1, v2 ...: choose another alias")
