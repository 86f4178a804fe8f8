from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from thaw.ingest.combined_labels import combined_label_notes
from thaw.ingest.listing import Listing, Sample


def notes(*labels: str) -> list[str]:
    samples = [Sample(f"{number}.png", label) for number, label in enumerate(labels)]
    return combined_label_notes(Listing(Path(), samples, sorted(set(labels))))


@pytest.mark.parametrize(
    "sign", ["|", ";", ",", ", ", " | ", "\n", "\t", "\uff5c", "\uff1b", "\uff0c"]
)
def test_a_label_of_other_labels_with_a_separator_between_them_is_noted(sign: str) -> None:
    (line,) = notes("blue", "other", f"blue{sign}other", f"blue{sign}other")
    assert line.startswith("1 of 3 labels look like several labels")
    assert "(2 images)" in line
    assert "thaw expects one class for each image" in line
    assert "give each image its main one" in line


@pytest.mark.parametrize("sign", [" ", "/", "+", " & ", "_", "-", " and "])
def test_a_sign_that_names_contain_separates_where_three_labels_combine_others(sign: str) -> None:
    single = ["cat", "dog", "owl"]
    joined = [sign.join(pair) for pair in combinations(single, 2)]
    (line,) = notes(*single, *joined)
    assert line.startswith("3 of 6 labels")
    assert notes(*single, *joined[:2]) == []


@pytest.mark.parametrize(
    "label",
    ['["a","b"]', '["a", "b"]', "['a', 'b']", "['a' 'b']", "[a, b]", "{'a', 'b'}", "('a', 'b')",
     "[1, 0, 1]", "[1 0 1]", '{"a": 1, "b": 0}'],
)  # fmt: skip
def test_a_list_as_a_label_is_noted(label: str) -> None:
    (line,) = notes(label, "other")
    assert line.startswith("1 of 2 labels look like several labels in a list")
    assert repr(label) in line


@pytest.mark.parametrize("sign", ["|", ";", ",", " "])
def test_a_zero_or_one_for_each_class_is_noted(sign: str) -> None:
    (line,) = notes(sign.join("100"), sign.join("110"), sign.join("001"))
    assert line.startswith("3 of 3 labels")


@pytest.mark.parametrize("labels", [("5", "14", "5 14", "0", "0 14", "0 5"), ("3", "7", "3;7")])
def test_numbers_of_classes_are_labels_too(labels: tuple[str, ...]) -> None:
    assert notes(*labels)


def test_combinations_without_a_label_of_one_part_are_noted() -> None:
    assert notes("a;b", "b;c", "a;c")
    scenes = ["clear primary", "haze primary", "clear primary water", "haze primary water",
              "clear water", "haze water"]  # fmt: skip
    (line,) = notes(*scenes)
    assert line.startswith("6 of 6 labels")


@pytest.mark.parametrize(
    "labels",
    [
        ("black|white", "red"),
        ("black|white", "black"),
        ("animal|cat", "animal|dog", "plant|rose"),  # a hierarchy
        ("red fox", "arctic fox", "red panda", "giant panda", "arctic hare"),
        ("red apple", "green apple", "red pear", "green pear"),
        ("hot", "dog", "hot dog"),
        ("crane, bird", "tench, Tinca tinca", "projectile, missile", "drake"),
        ("0", "5", "0,5", "1", "1,5", "2", "2,5"),  # decimals
        ("(0, 10]", "(10, 20]", "[20, 30]"),  # intervals
        ("[0, 10]", "[10, 20]"),
        ("1", "2", "3", "1-2", "2-3", "1-3", "1/2", "1/3", "2/3"),
        ("1-0", "0-1", "1/2-1/2"),  # results of chess
        ("a|", "|b", "a", "b"),
        ("cat", "dog"),
        ("100", "010", "001"),
        ("[a]", "[b]"),
        ("C", "C++", "C#"),
        (),
    ],
)
def test_ordinary_names_need_no_note(labels: tuple[str, ...]) -> None:
    assert notes(*labels) == []


@pytest.mark.slow
def test_many_classes_take_a_moment() -> None:
    assert notes(*(f"class {number}" for number in range(20_000))) == []
