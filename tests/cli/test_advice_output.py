from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.advice.lr_range import FoundRates
from thaw.cli.advice_output import _print_values, show_rates

if TYPE_CHECKING:
    import pytest

FOUND = FoundRates("unfreeze", 0.001, 0.02, 0.004, Path("rates.png"))


def test_rates_are_printed_with_the_line_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    show_rates(FOUND)
    printed = capsys.readouterr().out
    assert "unfreeze.lr is 0.001\n" in printed
    assert "the loss falls fastest: 2.0e-02\n" in printed
    assert "`unfreeze: {lr: 0.02}`" in printed


def test_rates_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_rates(FOUND, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "phase": "unfreeze", "present": 0.001, "steepest": 0.02, "tenth": 0.004,
        "picture": "rates.png",
    }  # fmt: skip


def test_values_are_printed_as_in_params_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    _print_values({"head.taps": [], "unfreeze.depth": 2, "unfreeze.compile": False})
    assert capsys.readouterr().out.splitlines() == [
        "head:", "  taps: []", "unfreeze:", "  depth: 2", "  compile: false",
    ]  # fmt: skip
