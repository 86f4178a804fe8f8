"""Text of CSV files whose values may contain any character, line ends included."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""Return ``rows`` as CSV with lines that end in ``\n``.

    A row with a carriage return has all its values in quotes: with this line end, Python's writer
    leaves such a value unquoted, and every reader then takes it for two rows.
    """
    buffer = io.StringIO(newline="")
    plain = csv.writer(buffer, lineterminator="\n")
    quoted = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        has_return = any("\r" in value for value in row if isinstance(value, str))
        (quoted if has_return else plain).writerow(row)
    return buffer.getvalue()
