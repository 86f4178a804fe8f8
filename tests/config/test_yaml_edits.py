from __future__ import annotations

from typing import Any

import pytest

from thaw.config.yaml_edits import loaded, remove_value, set_scalars, set_value

ORDERS = [["a", "b", "m"], ["x", "y", "z"]]


@pytest.mark.parametrize(
    ("text", "names", "value", "after"),
    [
        ("a: 1 # c\n", ["a"], 2, "a: 2 # c\n"),
        ("a: 0x1\n", ["a"], 1, "a: 0x1\n"),
        ("a: 'x'\n", ["a"], "y", "a: 'y'\n"),
        ("a:\n- 1 # c\n- 2\n- 3\n", ["a"], [1, 5], "a:\n- 1 # c\n- 5\n"),
        ("a:   # c\n- 1\nb: 2\n", ["a"], [], "a: [] # c\nb: 2\n"),
        ("a: [1,\n  2]\n", ["a"], [3], "a: [3]\n"),
        ("a: {}\n", ["a", "y"], [2], "a:\n  y:\n  - 2\n"),
        ("a:\n", ["a", "y"], 2, "a:\n  y: 2\n"),
        ("b: &n {x: 1}\na: *n\n", ["a", "y"], 2, "b: &n {x: 1}\na:\n  <<: *n\n  y: 2\n"),
        ("{b: &n {x: 1}, a: *n}", ["a", "y"], 2, "{b: &n {x: 1}, a: {<<: *n, y: 2}}"),
        ("m:\n  k: 1\n  l: 2 # l\n", ["m"], {"l": 3, "o": 4}, "m:\n  l: 3 # l\n  o: 4\n"),
        ("m:\n  k: 1\nb: 2\n", ["m"], {}, "m: {}\nb: 2\n"),
        ("m: {k: 1, l: 2}\n", ["m"], {"l": 2}, "m: {l: 2}\n"),
        ("a: 1\n", ["a"], [1, 2], "a:\n- 1\n- 2\n"),
        ("a: &n 1\nb: *n\n", ["a"], 2, "a: &n 2\nb: *n\n"),
    ],
)
def test_a_value_is_replaced_and_all_else_stays(
    text: str, names: list[str], value: Any, after: str
) -> None:
    found = set_value(text, names, value, ORDERS)
    assert found == after
    assert loaded(found, names) == value


def test_scalars_are_set_together_as_one_after_the_other_and_the_rest_is_left() -> None:
    text = "a: 1  # c\nm: {x: 1, y: &n 2}   # d\nz: *n\nl: [1]\nk:\n  x: 'q'\n"
    values = {"m.y": 33, "a": 22, "m.x": True, "k.x": "r", "l": [2], "z": 5, "m.w": 1, "a.b": 1}
    found, done = set_scalars(text, values)
    assert set(done) == {"m.y", "a", "m.x", "k.x"}
    assert found == "a: 22 # c\nm: {x: true, y: &n 33}   # d\nz: *n\nl: [1]\nk:\n  x: 'r'\n"
    for key in done:
        text = set_value(text, key.split("."), values[key], [[], []])
    assert text == found


@pytest.mark.parametrize(
    ("text", "names", "after"),
    [
        ("a: 1\nb: 2\n", ["a"], "b: 2\n"),
        ("a:\n  x: 1 # c\n  # next\n  y: 2\n", ["a", "x"], "a:\n  # next\n  y: 2\n"),
        ("a: # c\n  x:\n  - 1\nb: 2\n", ["a", "x"], "a: {} # c\nb: 2\n"),
        ("a: {x: 1, y: 2, z: 3}\n", ["a", "y"], "a: {x: 1, z: 3}\n"),
        ("a: {x: 1, y: 2}\n", ["a", "y"], "a: {x: 1}\n"),
        ("a: {x: 1}\n", ["a", "x"], "a: {}\n"),
    ],
)
def test_an_entry_is_removed_and_all_else_stays(text: str, names: list[str], after: str) -> None:
    assert remove_value(text, names) == after


def test_an_entry_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(KeyError):
        remove_value("a: 1\n", ["b"])
