from __future__ import annotations

import pytest

from thaw.config.yaml_entries import (
    entry_indent,
    fragment,
    insert,
    insert_lines,
    list_style,
    put_raw,
    raw_fragment,
)
from thaw.config.yaml_tree import parse

ORDER = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a: 1\nc: 3\n", "a: 1\nb: 2\nc: 3\n"),
        ("c: 3\nd: 4\n", "b: 2\nc: 3\nd: 4\n"),
        ("a: 1", "a: 1\nb: 2"),
        ("a:\n- 1\n\n# about c\nc: 3\n", "a:\n- 1\nb: 2\n\n# about c\nc: 3\n"),
        ("{a: 1, c: 3}", "{a: 1, b: 2, c: 3}"),
        ('{"c": 3}', '{"b": 2, "c": 3}'),
        ("{}\n", "b: 2\n"),
    ],
)
def test_an_entry_is_inserted_in_order(text: str, after: str) -> None:
    root = parse(text)
    assert insert(text, root, "b", fragment(text, "b", 2, root), ORDER) == after


def test_without_an_order_an_entry_is_appended() -> None:
    text = "c: 3\na: 1\n# end\n"
    assert insert(text, parse(text), "b", fragment(text, "b", {})) == "c: 3\na: 1\nb: {}\n# end\n"


def test_lines_are_inserted_with_the_line_breaks_of_the_text() -> None:
    assert insert_lines("a: 1\r\n", 6, ["b: 2", "c: 3"], "") == "a: 1\r\nb: 2\r\nc: 3\r\n"
    assert insert_lines("a: 1", 4, ["b: 2"], "") == "a: 1\nb: 2"
    assert insert_lines("a: 1", 4, [], "") == "a: 1"


def test_an_entry_moves_as_it_is_written() -> None:
    text = "x: {y: 0x10}\nz:\n  w: 1.50  # note\n  m:\n  - 1\n"
    raw = raw_fragment(text, ["z", "w"], "a")
    assert raw is not None
    assert raw.lines == ["a: 1.50  # note"]
    assert put_raw(text, ["z", "w"], raw) == text.replace("w:", "a:")
    flow = raw_fragment(text, ["x", "y"], "a")
    assert flow is not None
    assert flow.flow == "0x10"
    assert raw_fragment(text, ["z", "m"], "a") is None
    assert raw_fragment(text, ["z", "q"], "a") is None


def test_the_style_is_that_of_the_document() -> None:
    assert list_style("a:\n    b:\n      - 1\n") == (4, 2)
    assert list_style("a: 1\n") == (2, 0)
    text = "a:\n   ? b\n   : 1\n"
    section = parse(text).find("a")
    assert section is not None
    assert entry_indent(text, section[1].pairs[0][0]) == "   "
