"""Find labels that look alike or mean the same: classes that were meant to be one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from thaw.ingest.listing import Listing

_INVISIBLE = {"Cc", "Cf", "Co", "Cn", "Cs"}  # Unicode categories; white space is replaced before
_VARIATION_SELECTORS = re.compile("[\u180b-\u180d\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Letters without a glyph: Hangul fillers, the combining grapheme joiner.
_FILLERS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]")
_DASHES = re.compile("[\u2010-\u2015\u2043\u2212\ufe58\ufe63\uff0d]")
_APOSTROPHES = re.compile("[\u2018-\u201b\u02b9\u02bb-\u02bd\u00b4`]")
_DOTTED_I = re.compile("i\u0307|\u0131")  # lower case of the Turkish letters
_QUOTES = re.compile('["\u2018-\u201f\u00ab\u00bb\u2039\u203a]')
_QUOTED = re.compile(r"(['\"])(.+)\1")
_SPACE_AT_SIGN = re.compile(r"\s*([&/()\[\]{},;:|])\s*")
_LAST_SIGN = re.compile(r"(?<=\w)[.,;:]+$")
_HYPHEN_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])\s*-\s*(?=[^\W\d_])")  # others are signs
_MOST_NAMED = 5
# What programs write for a missing value, in lower case.
_MISSING = frozenset({"nan", "none", "null", "n/a", "na", "<na>", "nat", "#n/a", "undefined", "?"})
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def similarity_keys(label: str) -> set[str]:
    """Return texts of which labels that look alike share at least one.

    Such labels differ in case, in white space, in invisible characters, in the Unicode normal form,
    in what separates words (space, underscore, hyphen), in the kind of a dash or apostrophe, in
    quotes around them, in a sign at the end, in spaces beside signs, or in letters that look like
    ASCII ones.

    Source: Unicode Technical Standard 39, confusable characters.
    """
    plain = _folded(label)
    if label.isascii():
        return {plain}
    # Upper and lower case of a letter look like different Latin letters, or only one of them does.
    return {plain, _folded("".join(map(_latin, unicodedata.normalize("NFKC", label))))}


def _folded(text: str) -> str:
    """Return ``text`` in lower case and in one normal form, without what does not show."""
    before = None
    while text != before:  # one step may make another one possible
        before = text
        text = unicodedata.normalize("NFKC", text).casefold()
        text = _DOTTED_I.sub("i", _APOSTROPHES.sub("'", _DASHES.sub("-", text)))
        text = _without_frame(text)
        text = _HYPHEN_BETWEEN_LETTERS.sub(" ", text.replace("_", " "))
        text = _VARIATION_SELECTORS.sub("", _FILLERS.sub("", " ".join(text.split())))
        text = "".join(char for char in text if unicodedata.category(char) not in _INVISIBLE)
    return text


def _without_frame(text: str) -> str:
    """Return ``text`` without quotes around it, a sign at its end, and spaces beside signs."""
    text = _SPACE_AT_SIGN.sub(r"\1", text.strip())
    if quoted := _QUOTED.fullmatch(_QUOTES.sub('"', text)) or _QUOTED.fullmatch(text):
        text = quoted[2]
    return _LAST_SIGN.sub("", text)


def _latin(char: str) -> str:
    """Return the ASCII letters that another letter looks like, else ``char``."""
    # Imported here: it reads a table of 900 kB, and most labels are ASCII.
    from confusable_homoglyphs.confusables import is_confusable

    if char.isascii() or not char.isalpha():
        return char
    found = is_confusable(char, greedy=True, preferred_aliases=[]) or []
    letters = [
        glyph["c"]
        for match in found
        for glyph in match["homoglyphs"]
        if glyph["c"].isascii() and glyph["c"].isalpha()
    ]
    return letters[0] if letters else char


def similarity_problems(listing: Listing) -> list[str]:
    """Return a line for each group of labels that look alike, with the images of each."""
    return [
        f"the labels {_group_text(group)} look alike: correct the folder names or the CSV file; "
        "if they are different classes, set prepare.on_similar_labels to keep"
        for group in _groups(listing, similarity_keys)
    ]


def label_notes(listing: Listing) -> list[str]:
    """Return lines about labels that may be mistakes."""
    notes = [
        f"the labels {_group_text(group)} are the same number; each is a class of its own"
        for group in _groups(listing, _numbers)
    ]
    if missing := [label for label in listing.classes if label.strip().casefold() in _MISSING]:
        counts = Counter(sample.label for sample in listing.samples)
        group = _group_text({label: counts[label] for label in missing})
        notes.append(
            f"the labels {group} are what programs write for a missing value: if no class has this "
            "name, label these images or leave them out"
        )
    odd = {label: _shown(label) for label in listing.classes if label != _visible(label)}
    if odd:
        names = ", ".join(list(odd.values())[:_MOST_NAMED])
        notes.append(
            f"{quantity(len(odd), 'label has', 'labels have')} white space at an end or characters "
            f"that do not show, for example {names}"
        )
    return notes


def _groups(listing: Listing, keys: Callable[[str], Collection[object]]) -> list[dict[str, int]]:
    """Return each group of two or more labels that share keys, with the images of each label."""
    counts = Counter(dict.fromkeys(listing.classes, 0))
    counts.update(sample.label for sample in listing.samples)
    found: dict[object, frozenset[str]] = {}
    for label in counts:
        known = (found.get(key, frozenset()) for key in keys(label))
        group = frozenset({label}).union(*known)
        found |= {key: group for member in group for key in keys(member)}
    groups = sorted(sorted(group) for group in set(found.values()) if len(group) > 1)
    return [{name: counts[name] for name in group} for group in groups]


def _numbers(label: str) -> list[object]:
    return [Decimal(label)] if _NUMBER.fullmatch(label) else []


def _visible(label: str) -> str:
    """Return ``label`` without what does not show."""
    return "".join(char for char in label.strip() if unicodedata.category(char) not in _INVISIBLE)


def _group_text(group: Mapping[str, int]) -> str:
    return ", ".join(
        f"{_shown(label)} ({quantity(count, 'image')})" for label, count in group.items()
    )


def _shown(label: str) -> str:
    """Return the label in quotes, with its escapes if it has characters that may look equal."""
    quoted, escaped = repr(label), ascii(label)
    return quoted if quoted == escaped else f"{quoted} = {escaped}"
