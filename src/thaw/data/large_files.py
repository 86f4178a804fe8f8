"""Files that are too large to be read as images: videos, archives, files of zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.data.decoding import FORMATS
from thaw.data.file_kinds import DAMAGED, reason_not_opened

if TYPE_CHECKING:
    from pathlib import Path

_LARGE = 50_000_000  # bytes above which the beginning is looked at first
_LARGEST = 1_000_000_000  # bytes; no image that is decoded within the limits of memory has more
_START = 4096


def unread_reason(path: Path) -> str | None:
    """Return why the file ``path`` is not read; None if it may be an image.

    A file is read as a whole: a video or an archive of many gigabytes would fill the memory.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size <= _LARGE:
        return None
    with path.open("rb", buffering=0) as stream:
        reason = reason_not_opened(stream.read(_START), FORMATS)
    if not reason.startswith(DAMAGED):  # the beginning is that of no image
        return reason
    return f"{size / 1e6:,.0f} MB: larger than any image that is read" if size > _LARGEST else None
