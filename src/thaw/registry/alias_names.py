"""Rules for the names of aliases of registered models."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.ingest.label_checks import similarity_keys
from thaw.registry.names import CHALLENGER, CHAMPION, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Collection

_ALIAS = re.compile(r"[A-Za-z][\w-]{0,99}")  # it becomes a part of tags, which MLflow limits
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)  # MLflow refuses to move them


def is_alias(name: str) -> bool:
    """Return whether ``name`` can be the name of an alias."""
    return bool(_ALIAS.fullmatch(name)) and not _RESERVED.fullmatch(name)


def check_alias(alias: str) -> None:
    """Raise if ``alias`` cannot be the name of an alias.

    Raises:
        ThawError: it does not start with a letter, has other characters than letters, digits, ``_``
            and ``-`` or more than 100, or is reserved by MLflow.
    """
    if not _ALIAS.fullmatch(alias):
        raise ThawError(
            f"{alias!r} is not a valid alias: start with a letter, then use letters, digits, "
            "'_' or '-', at most 100 in all"
        )
    if _RESERVED.fullmatch(alias):
        raise ThawError(f"{alias!r} is reserved by MLflow, as are v1, v2 ...: choose another alias")


def refuse_similar_alias(alias: str, existing: Collection[str]) -> None:
    """Raise if ``alias`` looks like another one: a promotion would be compared with no version.

    Some databases take names that differ in case as one name. ``existing`` are the aliases of the
    model; one of them is compared with the names of thaw's own aliases only.

    Raises:
        ThawError: names the alias that was meant, perhaps.
    """
    own = (CHAMPION, CHALLENGER, PREVIOUS)
    for other in own if alias in existing else dict.fromkeys((*own, *existing)):
        if alias != other and _keys(alias) & _keys(other):
            raise ThawError(
                f"--to {alias}: the alias looks like {other!r}, and is not the same: give {other}, "
                "or a different name"
            )


def _keys(alias: str) -> set[str]:
    """Return texts of which aliases that look alike, or differ in accents, share at least one."""
    parts = unicodedata.normalize("NFKD", alias).replace("\u0131", "i")  # a dotless i
    return similarity_keys("".join(char for char in parts if not unicodedata.combining(char)))
