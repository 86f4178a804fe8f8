"""Recognise the usual spellings of the splits in names of folders and in CSV files.

``Training``, ``train_images``, ``01-TRAIN``, ``trainset`` and ``train2017`` name the training
split.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from thaw.data.split_names import TEST, TRAIN, VAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thaw.data.split_names import SplitName

Kind = Literal["train", "train and val", "val", "test", "eval"]

# In each line the longest first: a regular expression takes the first that fits.
_WORDS: Mapping[Kind, tuple[str, ...]] = {
    "train and val": ("trainval", "traindev", "valtrain"),
    "train": ("training", "train", "trng", "trn", "tr"),
    "val": (
        "validation", "validating", "validate", "valid", "vali", "val", "vld", "va",
        "development", "develop", "devel", "dev",
    ),
    "test": ("testing", "tests", "test", "tst", "te", "ts", "holdout"),
    "eval": ("evaluation", "evaluating", "evaluate", "eval"),
}  # fmt: skip
# Words that say nothing about the split.
_NEUTRAL = (
    "images", "image", "imgs", "img", "pictures", "picture", "pics", "pic", "photos", "photo",
    "dataset", "data", "subset", "set", "split", "part", "folder", "directory", "dir", "files",
    "samples", "sample", "examples", "crops", "final", "raw", "the", "my", "of", "for",
)  # fmt: skip
_KINDS: Mapping[str, Kind] = {word: kind for kind, words in _WORDS.items() for word in words}
_ANY_NEUTRAL = f"(?:{'|'.join(_NEUTRAL)})*"
_TOKEN = re.compile(f"{_ANY_NEUTRAL}(?P<word>{'|'.join(_KINDS)})?{_ANY_NEUTRAL}")
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HELD_OUT = re.compile(r"h[eo]ld[\W_]*out")
_PARTS = re.compile(r"[^\W\d_]+|\d+")  # words and numbers
_SHORT = 2  # letters


@dataclass(frozen=True)
class Spelling:
    """The kind of split that a name states, and the rest of the name.

    ``rest`` are the words that name no split; ``numbers`` the numbers. ``short`` states that two
    letters name the split; they have other meanings, too (languages, countries).
    """

    kind: Kind
    rest: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    short: bool = False


def spelling_of(name: str) -> Spelling | None:
    """Return what ``name`` says about a split; None if it names none, or two that exclude another.

    Case, separators and words such as "images" do not count.
    """
    text = _CAMEL_CASE.sub(" ", unicodedata.normalize("NFKC", name)).casefold()
    text = _HELD_OUT.sub("holdout", text)
    words: list[str] = []
    rest: list[str] = []
    numbers: list[str] = []
    for part in _PARTS.findall(text):
        match = _TOKEN.fullmatch(part)
        if part[0].isdigit():
            numbers.append(part)
        elif match is None:
            rest.append(part)
        elif word := match["word"]:
            words.append(word)
    kinds = {_KINDS[word] for word in words}
    if kinds == {"train", "val"}:
        kinds = {"train and val"}
    if len(kinds) != 1:
        return None
    short = all(len(word) == _SHORT for word in words)
    return Spelling(kinds.pop(), tuple(rest), tuple(numbers), short=short)


def is_split(text: str | None) -> bool:
    """Return whether ``text`` names a split and holds nothing else."""
    spelling = spelling_of(text or "")
    return spelling is not None and not spelling.rest and not spelling.numbers


def resolve_splits(kinds: Iterable[Kind]) -> dict[Kind, SplitName]:
    """Return the split of each kind among ``kinds``, which occur together.

    "eval" is the validation split if there is a test split and no validation split, else the test
    split. "train and val" is the training split.

    Raises:
        ValueError: two kinds cannot occur together; the message names them.
    """
    found = set(kinds)
    if {"train and val"} < found and "val" in found:
        raise ValueError("training and validation together, and validation again")
    if {"val", "test", "eval"} <= found:
        raise ValueError("validation, test and evaluation: one of the three is too many")
    evaluation: SplitName = VAL if "test" in found else TEST
    splits: dict[Kind, SplitName] = {
        "train": TRAIN,
        "train and val": TRAIN,
        "val": VAL,
        "test": TEST,
        "eval": evaluation,
    }
    return {kind: splits[kind] for kind in splits if kind in found}
