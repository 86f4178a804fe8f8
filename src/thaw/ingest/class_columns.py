"""Recognise a table with a column of 0 and 1 for each class, instead of one column of labels."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_FEWEST = 2  # columns
_MOST_ROWS = 1000  # that are read
_MOST_NAMED = 4
_PRESENT = {"1", "1.0", "true"}
_ABSENT = {"0", "0.0", "false"}


def class_columns_remedy(rows: Iterable[Mapping[Any, Any]]) -> str | None:
    """Return what to do with the first ``rows``, if some columns have a 0 or 1 for each class.

    None if there are fewer than two such columns.
    """
    read = list(islice(rows, _MOST_ROWS))
    names = _class_columns(read)
    if len(names) < _FEWEST:
        return None
    several = sum(_classes(row, names) > 1 for row in read)
    shown = ", ".join(names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    what = f"the columns {shown}{more} have a 0 or 1 for each class"
    if several:
        return (
            f"{what}, and {several} of the first {len(read)} images have several classes, but thaw "
            "trains on one class for each image: write the name of its main class into a column "
            "label, or train a classifier for each class with 0 and 1 as its labels"
        )
    return f"{what}: write the name of the column that has the 1 into a column label"


def _class_columns(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Return the columns that contain nothing but 0 and 1, and at least one 1."""
    names = [name for name in (rows[0] if rows else ()) if isinstance(name, str)]
    values = {name: {_value(row, name) for row in rows} for name in names}
    return [
        name
        for name, found in values.items()
        if found <= _PRESENT | _ABSENT and found & _PRESENT and name.strip().casefold() != "path"
    ]


def _classes(row: Mapping[Any, Any], names: Sequence[str]) -> int:
    return sum(_value(row, name) in _PRESENT for name in names)


def _value(row: Mapping[Any, Any], name: str) -> str:
    return str(row[name]).strip().casefold()
