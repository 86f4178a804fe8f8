"""Find labels that look alike or mean the same: classes that were meant to be one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thaw.ingest.listing import Listing

_INVISIBLE = {"Cc", "Cf", "Co", "Cn", "Cs"}  # Unicode categories; white space is replaced before
_VARIATION_SELECTORS = re.compile("[\u180b-\u180d\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Letters without a glyph: Hangul fillers, the combining grapheme joiner.
_FILLERS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]")
_MOST_NAMED = 5
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def similarity_key(label: str) -> str:
    """Return a text that is equal for labels that look alike.

    They may differ in case, in white space, in invisible characters, in the Unicode normal form,
    and in letters of other scripts that look like Latin ones.

    Source: Unicode Technical Standard 39, confusable characters.
    """
    text = unicodedata.normalize("NFKC", label)
    text = " ".join(text.split())
    text = _VARIATION_SELECTORS.sub("", _FILLERS.sub("", text))
    text = "".join(char for char in text if unicodedata.category(char) not in _INVISIBLE)
    if not text.isascii():
        text = "".join(map(_latin, text))
    text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(text.split())


def _latin(char: str) -> str:
    """Return the Latin letter that a letter of another script looks like, else ``char``."""
    # Imported here: it reads a table of 900 kB, and most labels are ASCII.
    from confusable_homoglyphs.confusables import is_confusable

    if char.isascii() or not char.isalpha():
        return char
    found = is_confusable(char, greedy=True, preferred_aliases=["latin"]) or []
    letters = [
        glyph["c"]
        for match in found
        for glyph in match["homoglyphs"]
        if len(glyph["c"]) == 1 and glyph["c"].isascii() and glyph["c"].isalpha()
    ]
    return letters[0] if letters else char


def similarity_problems(listing: Listing) -> list[str]:
    """Return a line for each group of labels that look alike, with the images of each."""
    return [
        f"the labels {_group_text(group)} look alike: correct the folder names or the CSV file; "
        "if they are different classes, set prepare.on_similar_labels to keep"
        for group in _groups(listing, similarity_key)
    ]


def label_notes(listing: Listing) -> list[str]:
    """Return lines about labels that may be mistakes."""
    notes = [
        f"the labels {_group_text(group)} are the same number; each is a class of its own"
        for group in _groups(listing, _number)
    ]
    odd = {label: _shown(label) for label in listing.classes if label != _visible(label)}
    if odd:
        names = ", ".join(list(odd.values())[:_MOST_NAMED])
        notes.append(
            f"{len(odd)} labels have white space at an end or characters that do not show, for "
            f"example {names}"
        )
    return notes


def _groups(listing: Listing, key: Callable[[str], object]) -> list[dict[str, int]]:
    """Return each group of two or more labels with equal keys, with the images of each."""
    counts = Counter(dict.fromkeys(listing.classes, 0))
    counts.update(sample.label for sample in listing.samples)
    groups: dict[object, dict[str, int]] = defaultdict(dict)
    for label in sorted(counts):
        groups[key(label)][label] = counts[label]
    return [group for group in groups.values() if len(group) > 1]


def _number(label: str) -> object:
    return Decimal(label) if _NUMBER.fullmatch(label) else label


def _visible(label: str) -> str:
    """Return ``label`` without what does not show."""
    return "".join(char for char in label.strip() if unicodedata.category(char) not in _INVISIBLE)


def _group_text(group: Mapping[str, int]) -> str:
    return ", ".join(
        f"{_shown(label)} ({count} image{'s' * (count != 1)})" for label, count in group.items()
    )


def _shown(label: str) -> str:
    """Return the label in quotes, with its escapes if it has characters that may look equal."""
    quoted, escaped = repr(label), ascii(label)
    return quoted if quoted == escaped else f"{quoted} = {escaped}"
