"""Decode images that clients send as base64 text."""

from __future__ import annotations

import base64
import binascii
from typing import Any


def decode_base64(text: Any) -> bytes:
    """Return the bytes that ``text`` encodes.

    Whitespace is ignored, because the command ``base64 FILE`` breaks its output into lines. The
    text is never used as a path or a URL.

    Raises:
        ValueError: ``text`` is not a string, or has characters outside of the base64 alphabet.
    """
    if not isinstance(text, str):
        raise ValueError("not base64")  # noqa: TRY004  (callers handle one kind of error)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        start = text[:5].lower()
        hint = "" if start != "data:" else ": leave out its start, up to the comma after 'base64'"
        raise ValueError(f"not base64{hint}") from None
