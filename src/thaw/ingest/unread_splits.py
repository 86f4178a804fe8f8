"""Find columns of a CSV file that name splits, but are not read because they are not called so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.ingest.split_spelling import is_split, spelling_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = ("path", "label", "split")
_MOST_VALUES = 12  # spellings of splits in one column


class UnreadSplits:
    """The values of columns that may be splits, of a file without the column ``split``."""

    def __init__(self, columns: Sequence[str]) -> None:
        others = [] if "split" in columns else [name for name in columns if name not in COLUMNS]
        self._values: dict[str, set[str]] = {name: set() for name in others}

    def add(self, row: Mapping[str | None, Any]) -> None:
        """Add the values of a row; a column with another value than splits is left out."""
        for name in list(self._values):
            value = row.get(name) or ""
            known = self._values[name]
            if value in known:
                continue
            known.add(value)
            if not is_split(value) or len(known) > _MOST_VALUES:
                del self._values[name]

    def problems(self) -> list[str]:
        """Return a line for each column whose values are two or more splits."""
        return [
            f"the column {name!r} names splits ({', '.join(sorted(values))}), but only a column "
            "called split is read: rename it, or remove it to draw the splits"
            for name, values in self._values.items()
            if len({found.kind for text in values if (found := spelling_of(text))}) > 1
        ]
