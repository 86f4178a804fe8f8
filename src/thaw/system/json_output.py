"""The form of every ``--json``: one JSON document on the standard output, nothing else there."""

from __future__ import annotations

import json
import math
import sys
from datetime import date
from pathlib import PurePath


def print_json(content: object) -> None:
    """Print a result as one JSON document of ASCII characters, which any locale can encode."""
    sys.stdout.write(json_text(content))


def json_text(content: object) -> str:
    """Return ``content`` as JSON, with a line end.

    Paths become strings, dates ISO 8601, keys strings. Numbers that are not finite become null,
    because JSON has no form for them.

    Raises:
        TypeError: ``content`` has a value that is none of these and none of JSON's.
    """
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    """Return ``value`` in the types of JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return value
