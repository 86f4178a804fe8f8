from __future__ import annotations

from typing import Any

import pytest

from thaw.config.yaml_text import (
    after_entry,
    block_lines,
    column,
    entry_start,
    flow_text,
    line_break,
    line_end,
    line_start,
    next_line,
    replaced,
    skip_blank,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (3e-5, "0.00003"),
        (1e22, "10000000000000000000000.0"),
        (True, "true"),
        ("auto", "auto"),
        ("true", "'true'"),
        ("a, b", "'a, b'"),
        ("", "''"),
        ([], "[]"),
        ([[], [64]], "[[], [64]]"),
        ({"low": 0.5, "log": False}, "{low: 0.5, log: false}"),
    ],
)
def test_a_value_on_one_line_reads_back_as_itself(value: Any, text: str) -> None:
    assert flow_text(value) == text


def test_text_in_quotation_marks_keeps_them() -> None:
    assert flow_text("x", '"') == '"x"'
    assert flow_text({"a": ["x"]}, '"') == '{"a": ["x"]}'
    assert flow_text("it's", "'") == "'it''s'"


def test_block_lines_follow_the_indentation_of_the_document() -> None:
    value = {"taps": [1, 2], "hidden": []}
    assert block_lines("head", value, 2, 0) == [
        "head:", "  taps:", "  - 1", "  - 2", "  hidden: []",
    ]  # fmt: skip
    assert block_lines("taps", [1], 4, 2) == ["taps:", "  - 1"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_are_found_with_every_line_ending(ending: str) -> None:
    text = f"ab{ending}cd"
    assert line_break(text) == ending
    assert line_end(text, 0) == 2
    assert next_line(text, 0) == line_start(text, len(text)) == len(text) - 2
    assert (line_end(text, 5), next_line(text, len(text))) == (len(text), len(text))


def test_columns_do_not_count_a_byte_order_mark() -> None:
    assert column("\ufeffseed: 0", 1) == 0
    assert column("a:\n  b: 1", 5) == 2
    assert entry_start("? key\n: 1", 2) == 0
    assert entry_start("  key: 1", 2) == 2


def test_white_space_and_comments_are_skipped() -> None:
    assert skip_blank("a: # x - y\n  - 1", 2) == 13


def test_comment_lines_that_are_indented_more_belong_to_the_entry() -> None:
    text = "  a: 1 # x\n      # y\n\n  # about b\n  b: 2\n"
    assert text[after_entry(text, 6, 2) :] == "\n  # about b\n  b: 2\n"


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        ("a: 0.001   # c", "0.25", "a: 0.25    # c"),
        ("a: 1 # c", "1000", "a: 1000 # c"),
        ("a: 1", "22", "a: 22"),
        ("a: 1\t# c", "22", "a: 22\t# c"),
    ],
)
def test_a_comment_stays_in_its_column_where_there_is_room(
    before: str, new: str, after: str
) -> None:
    end = min(place for place in (before.find(" ", 3), before.find("\t"), len(before)) if place > 0)
    assert replaced(before, 3, end, new) == after
