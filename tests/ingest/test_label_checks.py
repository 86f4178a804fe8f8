from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw.ingest.label_checks import label_notes, similarity_keys, similarity_problems
from thaw.ingest.listing import Listing, Sample

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def are_alike(one: str, other: str) -> bool:
    return bool(similarity_keys(one) & similarity_keys(other))


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
        ("red fox", "red_fox"),
        ("red-fox", "red_fox"),
        ("class 1", "class_1"),
        ("red-fox", "red\N{EN DASH}fox"),
        ("-1", "\N{MINUS SIGN}1"),
        ("cat's", "cat\N{RIGHT SINGLE QUOTATION MARK}s"),
        ("istanbul", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}stanbul"),
        ("istanbul", "\N{LATIN SMALL LETTER DOTLESS I}stanbul"),
        ("cat", "'cat'"),
        ("cat", '"cat"'),
        ("cat", "\N{LEFT DOUBLE QUOTATION MARK}cat\N{RIGHT DOUBLE QUOTATION MARK}"),
        ("cat", "cat."),
        ("cat", "cat,"),
        ("cat", "cat :"),
        ("cat & dog", "cat&dog"),
        ("cat (old)", "cat(old)"),
        ("A/B", "A / B"),
        ("oeuvre", "\N{LATIN SMALL LIGATURE OE}uvre"),
        ("OEuvre", "\N{LATIN CAPITAL LIGATURE OE}uvre"),
        ("aegis", "\N{LATIN SMALL LETTER AE}gis"),
        ("cat", "\N{LATIN LETTER SMALL CAPITAL C}at"),
        ("cat", "c\N{LATIN SMALL LETTER ALPHA}t"),
        ("\u0412\u043e\u043b\u043a", "\u0432\u043e\u043b\u043a"),  # Cyrillic: Wolf, wolf
    ],
)
def test_labels_that_look_alike_share_a_key(one: str, other: str) -> None:
    assert one != other
    assert are_alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "cats"),
        ("1", "I"),
        ("l", "I"),
        ("O", "0"),
        ("red fox", "redfox"),
        ("1", "-1"),
        ("x1", "x-1"),
        ("x 1", "x -1"),
        ("1 5", "1-5"),
        ("naive", "na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve"),
        ("\u65e5", "\u6708"),
        ("\N{FOX FACE}", "\N{CAT FACE}"),
        ("1", "1.0"),
        ("c", "c++"),
        ("dogs", "dogs'"),
        ("a", "a (b)"),
        ("+", "-"),
        (".", ","),
        ("\N{LATIN SMALL LETTER O WITH STROKE}l", "ol"),
    ],
)
def test_other_labels_share_no_key(one: str, other: str) -> None:
    assert not are_alike(one, other)


def test_labels_that_are_alike_through_a_third_are_one_group() -> None:
    owl = "\u0421\u041e\u0412\u0410"  # Cyrillic, looks like COBA
    (line,) = similarity_problems(listed("coba", owl.lower(), owl))
    assert line.count("(1 image)") == 3
    assert not are_alike("coba", owl.lower())


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


# For all labels

ANY = st.text(st.characters(codec="utf-8"), max_size=12)
INVISIBLE = "\u200b\u200d\ufeff\u00ad\u2060\u200e\ufe0f\u034f"
SPACES = " \t\n\u00a0\u2003\u3000"


@pytest.mark.property
@given(ANY, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normal_forms_are_alike(label: str, form: Form) -> None:
    assert are_alike(unicodedata.normalize(form, label), label)


@pytest.mark.property
@given(ANY)
def test_upper_and_lower_case_are_alike(label: str) -> None:
    assert are_alike(label.casefold(), label)


@pytest.mark.property
@given(ANY, st.sampled_from(INVISIBLE), st.integers(0, 12))
def test_an_invisible_character_anywhere_makes_no_difference(
    label: str, char: str, place: int
) -> None:
    assert are_alike(label[:place] + char + label[place:], label)


@pytest.mark.property
@given(ANY, st.sampled_from(SPACES), st.integers(1, 3))
def test_white_space_at_the_ends_and_its_kind_make_no_difference(
    label: str, space: str, count: int
) -> None:
    assert are_alike(space * count + label + space, label)
    assert are_alike(f"a{space * count}b", "a b")


@pytest.mark.property
@given(st.lists(ANY, max_size=8))
def test_each_label_is_in_at_most_one_group(labels: list[str]) -> None:
    lines = similarity_problems(listed(*labels))
    different = set(labels)
    paired = {one for one in different for other in different - {one} if are_alike(one, other)}
    assert sum(line.count(" image") for line in lines) == len(paired)


@pytest.mark.parametrize("label", ["nan", "NaN", "None", " null", "N/A", "<NA>", "?"])
def test_the_text_of_a_missing_value_is_noted(label: str) -> None:
    (line, *_) = label_notes(listed(label, "dog"))
    assert f"{label!r} (1 image) are what programs write for a missing value" in line
