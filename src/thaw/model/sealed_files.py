"""The digests of a model directory, checked without loading the model or importing torch."""

from __future__ import annotations

import hashlib
import json
import stat
from typing import TYPE_CHECKING, Any

from thaw.errors import ThawError
from thaw.system.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

SPEC = "model.json"
LARGEST_SPEC = 4 * 1024**2  # bytes; one with the 21,841 classes of ImageNet-21k has 0.6 MB
_MOST_KEYS = 20_000


class ChangedError(ValueError):
    """The content of ``model.json`` does not match the digest that it contains."""


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything in ``content`` but ``digest``, as JSON with sorted keys."""
    without = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(without, sort_keys=True).encode()).hexdigest()


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object in ``text``, the content of a ``model.json``.

    Raises:
        ValueError: it is not a JSON object.
    """
    if text.count('":') > _MOST_KEYS:  # each unknown key would become an error of its own
        raise ValueError(f"it has more than {_MOST_KEYS:,} keys")
    try:
        content = json.loads(text)
        json.dumps(content)  # needs more levels of recursion than reading does
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004  (what the callers catch)
    return content


def check_digest(content: Mapping[str, Any]) -> None:
    """Raise if the content of a ``model.json`` does not match the digest that it contains.

    Raises:
        ChangedError: it has another digest.
    """
    if digest_of(content) != content.get("digest"):
        raise ChangedError


def read_bounded(path: Path, largest: int) -> bytes:
    """Return the content of a regular file; a link may lead to it.

    Raises:
        ValueError: it is a pipe, a device or a folder, or larger than ``largest`` bytes.
        OSError: it cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a file")
    if status.st_size > largest:
        raise ValueError(f"it has {status.st_size:,} bytes, more than {largest:,}")
    return path.read_bytes()


def sealed_digest(folder: Path) -> str:
    """Return the digest of the model directory ``folder`` after checking all of its files.

    Raises:
        ThawError: a file is missing, changed, or does not belong there.
    """
    try:
        content = read_object(read_bounded(folder / SPEC, LARGEST_SPEC).decode())
        check_digest(content)
        files = dict(content["files"])
        others = sorted({path.name for path in folder.iterdir()} - {SPEC, *files})
        changed = [name for name, digest in files.items() if sha256_of(folder / name) != digest]
    except ChangedError:
        raise ThawError(f"its {SPEC} was changed or damaged") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ThawError(f"its files are not complete: {error!r}"[:300]) from None
    if changed or others:
        raise ThawError(f"{(changed or others)[0]!r} was changed or does not belong to it")
    return str(content["digest"])


def size_mb(folder: Path, files: Collection[str]) -> float:
    """Return the size of a model directory in MB: that of ``model.json`` and of ``files``."""
    return sum((folder / name).stat().st_size for name in (SPEC, *files)) / 1e6
