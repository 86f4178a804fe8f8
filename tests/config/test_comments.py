from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from thaw.config.comments import insert_key, lines_kept_after, remove_key, replace_value

TEXT = """\
a:
  x: 1  # x

  # about y
  y:
  - 1
  - 2

# about b
b: 3
"""


def opened() -> Any:
    return YAML().load(TEXT)


def text_of(document: Any) -> str:
    stream = StringIO()
    YAML().dump(document, stream)
    return stream.getvalue()


def test_a_key_in_the_middle_stands_before_the_comment_of_the_next() -> None:
    document = opened()
    insert_key(document["a"], "w", 5, ["x", "w", "y"])
    assert text_of(document) == TEXT.replace("# x\n", "# x\n  w: 5\n")


def test_a_key_at_the_start_stands_before_the_others() -> None:
    document = opened()
    insert_key(document["a"], "w", 5, ["w", "x", "y"])
    assert text_of(document) == TEXT.replace("a:\n", "a:\n  w: 5\n")


def test_a_key_at_the_end_stands_before_the_lines_after_its_section() -> None:
    document = opened()
    with lines_kept_after(document, "a"):
        insert_key(document["a"], "z", 5, ["x", "y", "z"])
    assert text_of(document) == TEXT.replace("  - 2\n", "  - 2\n  z: 5\n")


def test_a_replaced_list_leaves_the_lines_after_it() -> None:
    document = opened()
    replace_value(document["a"], "y", 7)
    assert text_of(document) == TEXT.replace("  y:\n  - 1\n  - 2\n", "  y: 7\n")


def test_a_removed_key_leaves_the_lines_after_it() -> None:
    document = opened()
    value, comment = remove_key(document["a"], "y")
    assert (value, comment) == ([1, 2], None)
    assert text_of(document) == TEXT.replace("  y:\n  - 1\n  - 2\n", "")
