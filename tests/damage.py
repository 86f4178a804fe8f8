"""Ways in which a file rots: flipped bits, a lost end, a block of zeros."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Places as a share of the file, for the fixed sample of the suite.
_SHARES = (0.0, 0.1, 0.37, 0.5, 0.83, 1.0)
SAMPLE = [f"flip {share}" for share in _SHARES] + ["cut 0", "cut 0.5", "cut 1.0", "zeros 0.3"]
SOAK = [f"{kind} {number / 200}" for number in range(201) for kind in ("flip", "cut", "zeros")]
KINDS = [*SAMPLE, *(pytest.param(kind, marks=pytest.mark.soak) for kind in SOAK)]


def damaged(content: bytes, kind: str) -> bytes:
    """Return ``content`` with the damage ``kind``; it always differs."""
    what, share = kind.split()
    place = min(int(float(share) * len(content)), len(content) - 1)
    if what == "cut":
        return content[:place]
    if what == "zeros":
        end = min(place + 4096, len(content))
        zeroed = content[:place] + bytes(end - place) + content[end:]
        return zeroed if zeroed != content else damaged(content, f"flip {share}")
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


@contextmanager
def rotten(path: Path, kind: str) -> Iterator[None]:
    """Damage the file ``path`` while the context is open."""
    content = path.read_bytes()
    path.write_bytes(damaged(content, kind))
    try:
        yield
    finally:
        path.write_bytes(content)
