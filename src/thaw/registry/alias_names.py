"""Check the names of aliases."""

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
        ThawError: it has other characters, or MLflow reserves it.
    """
    if not _ALIAS.fullmatch(alias):
        raise ThawError(f"{alias!r}: an alias is of letters, digits, '_' and '-'")
    if _RESERVED.fullmatch(alias):
        raise ThawError(f"{alias!r} is reserved by MLflow, as are v1, v2 ...: name another alias")
