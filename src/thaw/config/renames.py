"""Parameters that were renamed, so that files of earlier versions load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# The only place that knows old names: old key -> new key.
RENAMED = {
    "launch.workers": "resources.workers",
    "launch.checkpoint_minutes": "resources.checkpoint_minutes",
    "launch.cache_gb": "resources.cache_gb",
    "launch.mixed_precision": "launch.precision",
}
# Old key -> old value -> new value, for values that were renamed, too. "no" was the default.
_RENAMED_VALUES = {"launch.mixed_precision": {"no": "auto"}}


class Rename(NamedTuple):
    """A key of a file that has another name now."""

    old: str
    new: str


def find_renames(content: MutableMapping[str, Any]) -> list[Rename]:
    """Return the renamed keys that ``content`` holds under their old names.

    Raises:
        ThawError: the old and the new name of a parameter are both there.
    """
    found = [Rename(*pair) for pair in RENAMED.items() if has_key(content, pair[0])]
    for old, new in found:
        if has_key(content, new):
            raise ThawError(f"{old} was renamed to {new}, and both are given: delete {old}")
    return found


def apply_renames(content: MutableMapping[str, Any]) -> list[Rename]:
    """Move renamed keys of ``content`` to their new names, in place, and return them.

    Raises:
        ThawError: the old and the new name of a parameter are both there.
    """
    found = find_renames(content)
    for old, new in found:
        section, name = old.split(".")
        new_section, new_name = new.split(".")
        value = content[section].pop(name)
        if not isinstance(content.get(new_section), dict):
            content[new_section] = {}
        content[new_section][new_name] = renamed_value(old, value)
    return found


def renamed_value(old: str, value: Any) -> Any:
    """Return ``value`` of the renamed key ``old``, in the spelling that its new key takes."""
    names = _RENAMED_VALUES.get(old, {})
    return names.get(value, value) if isinstance(value, str) else value


def original_name(key: str) -> str:
    """Return the name under which the parameter ``key`` was introduced."""
    return next((old for old, new in RENAMED.items() if new == key), key)


def has_key(content: Any, key: str) -> bool:
    """Return whether the nested mapping ``content`` holds the dotted ``key``."""
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True
