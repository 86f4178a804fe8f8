"""The sides of the input that a network accepts, kept by the check of the model for `prepare`.

`prepare` imports no network itself: that would take longer than a small run of it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import NamedTuple

from thaw.errors import ThawError
from thaw.system import project_paths
from thaw.system.files import write_json

_FILE = project_paths.SCRATCH / "network_sides.json"


class NetworkSides(NamedTuple):
    """Sides of the input in pixels: that of the weights, and the largest that is compared."""

    native: int
    largest: int


def record(backbone: str, sides: NetworkSides) -> None:
    """Keep the sides of the backbone of this name."""
    with suppress(ThawError):  # in a project that is read-only, nothing is said
        write_json(_FILE, {"backbone": backbone, **sides._asdict()})


def recorded(backbone: str) -> NetworkSides | None:
    """Return what was recorded last, None if that is another backbone or nothing."""
    try:
        content = json.loads(_FILE.read_text(encoding="utf-8"))
        if content["backbone"] != backbone:
            return None
        return NetworkSides(int(content["native"]), int(content["largest"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None
