"""Damage of the prepared data: how it is found, and the error that names the repair.

Each packed image has a checksum in the index, which every read checks. The other files have a
SHA-256 in the settings of the pack, and the settings have one of themselves.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from thaw.errors import REPAIR, ThawError
from thaw.system.files import sha256_of, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_DIGEST, _FILES = "digest", "files"


class DamagedError(ThawError):
    """A file that does not have the content that thaw wrote."""


def damage(path: Path, reason: str) -> str:
    """Return the message about the damaged file ``path``, with the command that repairs it."""
    return f"{path} is damaged: {reason}; {REPAIR}"


def seal(settings: Path, names: Iterable[str]) -> None:
    """Add the digests of the files ``names``, in the same folder, to the settings of a pack.

    Raises:
        ThawError: the file cannot be written.
    """
    content = json.loads(settings.read_text())
    content[_FILES] = {name: sha256_of(settings.with_name(name)) for name in names}
    content[_DIGEST] = _digest(content)
    write_whole(settings, json.dumps(content).encode())


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings of a pack; those of earlier versions have no digest to check.

    Raises:
        DamagedError: the file is missing or damaged, or thaw did not write it.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        is_intact = content.get(_DIGEST) in {None, _digest(content)} and "sha256" in content
    except FileNotFoundError:
        raise DamagedError(damage(path, "it does not exist")) from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedError(damage(path, f"it cannot be read ({type(error).__name__})")) from None
    if not is_intact or (_FILES in content and _DIGEST not in content):
        raise DamagedError(damage(path, "its content does not match the digest in it"))
    return content


def check_files(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise if a file of ``folder`` does not match its digest in the settings of the pack.

    Raises:
        DamagedError: names the file.
    """
    for name, expected in settings.get(_FILES, {}).items():
        check_file(folder / name, expected)


def check_file(path: Path, expected: str) -> None:
    """Raise if the file ``path`` does not have the SHA-256 ``expected``.

    Raises:
        DamagedError: names the file.
    """
    try:
        is_intact = sha256_of(path) == expected
    except FileNotFoundError:
        raise DamagedError(damage(path, "it does not exist")) from None
    except OSError as error:
        raise DamagedError(damage(path, error.strerror or str(error))) from None
    if not is_intact:
        raise DamagedError(damage(path, "its SHA-256 is not the one that prepare has recorded"))


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 over all settings except for the digest itself."""
    others = {key: value for key, value in content.items() if key != _DIGEST}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()
