from __future__ import annotations

from pathlib import Path

import pytest

from thaw.ingest.labels import label_notes, similarity_key, similarity_problems
from thaw.ingest.listing import Listing, Sample


def listed(*labels: str) -> Listing:
    samples = [Sample(f"{number}.png", label) for number, label in enumerate(labels)]
    return Listing(Path(), samples, sorted(set(labels)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "Cat"),
        ("cat", "CAT"),
        ("cat", "cat "),
        ("cat", "\tcat"),
        ("red fox", "red  fox"),
        ("red fox", "red\N{NO-BREAK SPACE}fox"),
        ("red fox", "red\N{IDEOGRAPHIC SPACE}fox"),
        ("red fox", "red\nfox"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"),
        ("dog", "dog\N{ZERO WIDTH SPACE}"),
        ("dog", "\N{ZERO WIDTH NO-BREAK SPACE}dog"),
        ("dog", "do\N{SOFT HYPHEN}g"),
        ("dog", "dog\N{RIGHT-TO-LEFT MARK}"),
        ("dog", "dog\x00"),
        ("dog", "dog\N{HANGUL FILLER}"),
        ("plane", "plane\N{VARIATION SELECTOR-16}"),
        ("cat", "c\N{CYRILLIC SMALL LETTER A}t"),
        ("A", "\N{GREEK CAPITAL LETTER ALPHA}"),
        ("Strasse", "Stra\N{LATIN SMALL LETTER SHARP S}e"),
        ("fish", "\N{LATIN SMALL LIGATURE FI}sh"),
        ("1", "\N{FULLWIDTH DIGIT ONE}"),
    ],
)
def test_labels_that_look_alike_have_the_same_key(one: str, other: str) -> None:
    assert one != other
    assert similarity_key(one) == similarity_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "cats"),
        ("1", "I"),
        ("l", "I"),
        ("O", "0"),
        ("red fox", "redfox"),
        ("naive", "na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve"),
        ("\u65e5", "\u6708"),
        ("\N{FOX FACE}", "\N{CAT FACE}"),
        ("1", "1.0"),
        ("c", "c++"),
    ],
)
def test_other_labels_have_different_keys(one: str, other: str) -> None:
    assert similarity_key(one) != similarity_key(other)


def test_each_group_is_one_problem_with_labels_and_counts() -> None:
    labels = ["cat", "Cat", "cat ", "cat", "owl", "dog", "dog\u200b"]
    first, second = similarity_problems(listed(*labels))
    assert "'Cat' (1 image), 'cat' (2 images), 'cat ' (1 image) look alike" in first
    assert "'dog' (1 image), 'dog\\u200b' (1 image) look alike" in second
    assert "prepare.on_similar_labels to keep" in first


def test_labels_that_print_alike_are_told_apart_by_their_escapes() -> None:
    (line,) = similarity_problems(listed("caf\u00e9", "cafe\u0301"))
    assert "'caf\\xe9'" in line
    assert "'cafe\\u0301'" in line


def test_a_class_without_images_counts_too() -> None:
    found = listed("cat")
    found.classes.append("Cat")
    (line,) = similarity_problems(found)
    assert "'Cat' (0 images), 'cat' (1 image)" in line


def test_different_labels_are_no_problem_and_need_no_note() -> None:
    found = listed("cat", "dog", "red fox", "1", "2")
    assert similarity_problems(found) == label_notes(found) == []


def test_labels_that_are_the_same_number_are_noted() -> None:
    found = listed("1", "01", "1.0", "2", "90071992547409931", "90071992547409930")
    assert similarity_problems(found) == []
    (line,) = label_notes(found)
    assert line.startswith("the labels '01' (1 image), '1' (1 image), '1.0' (1 image) are the same")


@pytest.mark.parametrize("label", [" cat", "cat\u200b", "cat\n"])
def test_a_label_with_characters_that_do_not_show_is_noted(label: str) -> None:
    (line,) = label_notes(listed(label, "dog"))
    assert ascii(label) in line
