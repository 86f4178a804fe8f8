"""The JSON reports of the stages, as they are on the disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thaw.errors import ThawError
from thaw.system.repeated_stages import repeat_command

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> dict[str, Any]:
    """Return the content of the report ``path``, which is in the folder of its stage.

    Raises:
        ThawError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ThawError(_damaged(path, error)) from None
    if not isinstance(content, dict):
        raise ThawError(_damaged(path, "it is no JSON object"))
    return content


def _damaged(path: Path, reason: object) -> str:
    return f"{path} is damaged ({reason}): run `{repeat_command(path.parent.name)}`"
