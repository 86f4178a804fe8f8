from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from thaw.system.json_output import json_text, print_json


def test_paths_dates_and_numbers_that_are_not_finite_have_a_form() -> None:
    content = {
        Path("a"): Path("b/c"),
        "when": datetime(2026, 1, 2, 3, tzinfo=UTC),
        "numbers": (1.5, float("nan"), float("inf")),
        3: [True, None, 7],
    }
    assert json.loads(json_text(content)) == {
        "a": "b/c",
        "when": "2026-01-02T03:00:00+00:00",
        "numbers": [1.5, None, None],
        "3": [True, None, 7],
    }


def test_names_in_any_script_are_printed_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"class": "野バラ", "file": "caf\udce9.png"})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"class": "野バラ", "file": "caf\udce9.png"}


def test_a_value_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError):
        json_text({"thing": object()})
