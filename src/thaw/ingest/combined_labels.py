"""Find labels that combine other labels: images that belong to several classes each.

thaw trains on one class for each image, and each combination would become a class of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.ingest.listing import Listing

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
# Signs that hardly occur in the name of one class.
_STRONG = ("|", ";", ",", "\n", "\t")
# Signs and words that do: "red fox" and "black-white" are ordinary names.
_WEAK = (" ", "/", "+", "&", " and ", "_", "-")
_OF_NUMBERS = (*_STRONG, " ")  # others make dates, ranges and fractions of numbers
_FEWEST_WEAK = 3  # combinations
_FEWEST_REPEATED = 2
_VECTOR = 3  # places, with a 0 or 1 for each class
_MOST_NAMED = 3

Parts = dict[str, list[str]]  # by label


class _Way(NamedTuple):
    """A way to read labels as combinations, and the labels that are some."""

    how: str
    labels: Sequence[str]


def combined_label_notes(listing: Listing) -> list[str]:
    """Return a line if labels look like combinations of labels; nothing if they do not."""
    plain = {unicodedata.normalize("NFKC", label).strip(): label for label in listing.classes}
    found = max(_ways(list(plain)), key=lambda way: len(way.labels))
    if not found.labels:
        return []
    labels = [plain[text] for text in found.labels]
    counts = Counter(sample.label for sample in listing.samples)
    shown = ", ".join(
        f"{label!r} ({quantity(counts[label], 'image')})" for label in labels[:_MOST_NAMED]
    )
    return [
        f"{len(labels)} of {len(plain)} labels look like several labels {found.how}, for example "
        f"{shown}: thaw expects one class for each image, and each combination becomes a class of "
        "its own. If images have several labels, give each image its main one, or train a "
        "classifier for each label (present or not); if the combinations are classes, change "
        "nothing"
    ]


def _ways(labels: Sequence[str]) -> list[_Way]:
    """Return what each way of writing several labels finds, the most certain way first."""
    signs = {sign: _split(labels, sign) for sign in (*_STRONG, *_WEAK)}
    return [
        _Way("in a list", _lists(labels)),
        *(_Way(f"with {sign!r} between them", _separated(signs[sign])) for sign in _STRONG),
        *(_Way(f"with {sign!r} between them", _weakly_separated(signs[sign])) for sign in _WEAK),
    ]


def _lists(labels: Sequence[str]) -> list[str]:
    """Return the labels that are lists of two or more; intervals such as "[0, 10]" are none."""
    items = {label: _items(label) for label in labels}
    lengths = {len(found) for found in items.values() if found}
    are_numbers = all(_NUMBER.fullmatch(item) for found in items.values() for item in found)
    if lengths == {2} and are_numbers:
        return []
    return list(_several(items))


def _items(label: str) -> list[str]:
    """Return the items of a list as JSON, Python and NumPy write it; nothing for other texts."""
    if label[:1] + label[-1:] not in {"[]", "{}", "()"}:
        return []
    inner = label[1:-1]
    if quoted := _QUOTED.findall(inner):
        return quoted
    if label[0] == "(":
        return []
    numbers = inner.split()
    if "," not in inner and all(map(_NUMBER.fullmatch, numbers)):
        return numbers
    return [item for item in map(str.strip, inner.split(",")) if item]


def _split(labels: Sequence[str], sign: str) -> Parts:
    """Return the parts of each label; combinations that are numbers or dates have one part."""
    parts = {label: [part.strip() for part in label.split(sign)] for label in labels}
    found = {label: [part for part in each if part] for label, each in parts.items()}
    several = _several(found)
    are_decimal = sign == "," and all(map(_NUMBER.fullmatch, several))
    for label, each in several.items():
        are_numbers = all(map(_NUMBER.fullmatch, each))
        if are_decimal or (are_numbers and sign not in _OF_NUMBERS):
            found[label] = [label]
    return found


def _separated(parts: Parts) -> list[str]:
    """Return the labels whose parts are labels themselves, or parts of other labels too."""
    return _vectors(parts) or _of_labels(parts) or _repeated(parts)


def _weakly_separated(parts: Parts) -> list[str]:
    """Return the labels that :func:`_separated` does, if there are many of them.

    Where no part is a label, there are more combinations than parts, of different lengths: "red
    apple", "green apple" and "red pear" are ordinary names.
    """
    found = _of_labels(parts)
    if len(found) >= _FEWEST_WEAK:
        return found
    found = _repeated(parts)
    known = {part for label in found for part in parts[label]}
    lengths = {len(parts[label]) for label in found}
    is_usual = len(found) > len(known) and 2 * len(found) > len(parts) and len(lengths) > 1
    return found if is_usual else _vectors(parts)


def _several(parts: Parts) -> Parts:
    return {label: each for label, each in parts.items() if len(each) > 1}


def _of_labels(parts: Parts) -> list[str]:
    """Return the labels of which each part is a label."""
    return [label for label, each in _several(parts).items() if all(part in parts for part in each)]


def _repeated(parts: Parts) -> list[str]:
    """Return the labels of which each part is in other labels too; nothing if they are few."""
    counts = Counter(part for each in parts.values() for part in set(each))
    found = [
        label
        for label, each in _several(parts).items()
        if all(counts[part] >= _FEWEST_REPEATED for part in each)
    ]
    return found if len(found) >= _FEWEST_REPEATED else []


def _vectors(parts: Parts) -> list[str]:
    """Return the labels if all of them have a 0 or 1 in each of the same number of places."""
    lengths = {len(each) for each in parts.values()}
    are_bits = all(part in {"0", "1"} for each in parts.values() for part in each)
    return list(parts) if are_bits and len(lengths) == 1 and min(lengths) >= _VECTOR else []
