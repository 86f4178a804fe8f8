from __future__ import annotations

import csv
import io

import pytest

from thaw.system.csv_text import csv_text


@pytest.mark.parametrize("value", ["a\rb", "\r", "a\r\n", "a\nb", 'a,"b"', "é\u2028x\x85", " a "])
def test_any_value_comes_back_in_one_row(value: str) -> None:
    rows = [["path", "label"], [value, "x"], ["plain", value]]
    assert list(csv.reader(io.StringIO(csv_text(rows), newline=""))) == rows


def test_plain_rows_have_no_quotes() -> None:
    assert csv_text([["a", "b"], ["x", 0.5], ["y\r", 1]]) == 'a,b\nx,0.5\n"y\r","1"\n'
