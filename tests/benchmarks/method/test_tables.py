from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from benchmarks.method.rows import ARMS
from benchmarks.method.tables import draw, gains, show

if TYPE_CHECKING:
    from pathlib import Path


VERSIONS = {arm.name: arm.version for arm in ARMS}


def _row(arm: str, seed: int, accuracy: float, **more: Any) -> dict[str, Any]:
    row = {"data": "set", "arm": arm, "seed": seed, "test_accuracy": accuracy, "content": "a"}
    return row | {"version": VERSIONS[arm]} | more


ROWS = [
    _row("auto", 0, 0.80, test_loss=0.5, test_ece=0.02, test_ece_chance=0.03, processor=30.0),
    _row("auto", 1, 0.84, test_loss=0.7, test_ece=0.04, test_ece_chance=0.05, processor=50.0),
    _row("logistic", 0, 0.82, test_loss=0.6),
    _row("logistic", 1, 0.84, test_loss=0.6),
    _row("plain", 1, 0.60, test_loss=1.0),
]


def test_differences_are_paired_by_split() -> None:
    assert gains(ROWS, "set", "logistic") == pytest.approx([-0.02, 0.0])
    assert gains(ROWS, "set", "plain") == pytest.approx([0.24])


def test_the_table_shows_means_and_what_the_best_arm_has_more() -> None:
    stream = StringIO()
    show(ROWS, ["set"], Console(file=stream, width=200))
    lines = stream.getvalue().splitlines()
    assert (
        "| set | auto | 2 | 0.820 ± 0.028 | 0.600 ± 0.141 | 0.030 ± 0.014 | 0.040 ± 0.014 |  | 40 |"
    ) in lines
    assert "| set | -0.010 ± 0.014 | logistic | logistic |" in lines
    assert "auto misses the best arm in hindsight by 1.0 points" in lines


def test_the_calibration_error_of_each_set_is_judged_by_the_goal_and_by_chance() -> None:
    stream = StringIO()
    scores: list[dict[str, Any]] = [
        {"test_ece": 0.039, "test_ece_chance": 0.01, "metrics": {"uncalibrated": {"ece": 0.2}}},
        {"test_ece": 0.099, "test_ece_chance": 0.05, "metrics": {"test": {}}},
        {"test_ece": 0.061, "test_ece_chance": 0.03},
    ]
    rows = [_row("auto", seed, 0.8, **values) for seed, values in enumerate(scores)]
    rows += [_row("logistic", 0, 0.8, test_ece=0.5, test_ece_chance=0.01)]
    rows += [_row("auto", 0, 0.8, data="unmeasured")]
    show(rows, ["set", "unmeasured"], Console(file=stream, width=200))
    lines = stream.getvalue().splitlines()
    head = lines.index(
        "| ECE of auto | not calibrated | calibrated | by chance | splits within the goal |"
    )
    assert lines[head + 2 : head + 4] == [
        "| set | 0.120 ± 0.072 | 0.066 ± 0.030 | 0.030 ± 0.020 | 2 of 3 |",
        "",
    ]


def test_rows_of_other_data_are_no_pair_and_are_listed() -> None:
    stream = StringIO()
    rows = [
        _row("auto", 0, 0.80),
        _row("auto", 1, 0.84, content="b"),
        _row("logistic", 0, 0.10, content="other"),
        _row("logistic", 1, 0.80, content="b"),
        _row("plain", 1, 0.60, content="b"),
    ]
    assert gains(rows, "set", "logistic") == pytest.approx([0.04])
    show(rows, ["set"], Console(file=stream, width=200))
    assert stream.getvalue().splitlines()[-1] == (
        "not paired, because the digests of the data differ: set 0 logistic"
    )


def test_rows_of_an_earlier_version_of_an_arm_are_listed() -> None:
    stream = StringIO()
    rows = [_row("plain", seed, 0.8, version=VERSIONS["plain"] - 1) for seed in (1, 2)]
    show([*rows, _row("auto", 1, 0.9)], ["set"], Console(file=stream, width=200))
    assert stream.getvalue().splitlines()[-1] == (
        "measured with an earlier version of the arm: set plain 1 2"
    )


def test_no_mean_is_over_two_versions_of_an_arm() -> None:
    rows = [_row("plain", seed, 0.8, version=VERSIONS["plain"] - (seed > 0)) for seed in (0, 1, 2)]
    rows += [_row("auto", seed, 0.9) for seed in (0, 1, 2)]
    assert gains(rows, "set", "plain") == pytest.approx([0.1])
    stream = StringIO()
    show(rows, ["set"], Console(file=stream, width=200))
    assert "| set | plain | 1 | 0.800 |" in stream.getvalue()
    assert "earlier version" not in stream.getvalue()


def test_each_code_that_made_rows_of_thaw_is_named_with_its_sets() -> None:
    stream = StringIO()
    rows = [
        _row("auto", 0, 0.80, code="old"),
        _row("logistic", 0, 0.80),
        _row("auto", 0, 0.80, data="second", code="new"),
        _row("auto", 0, 0.80, data="third", code="old"),
    ]
    show(rows, ["set", "second", "third"], Console(file=stream, width=200))
    assert stream.getvalue().splitlines()[-2:] == [
        "auto with the code old: set, third",
        "auto with the code new: second",
    ]


def test_the_picture_is_written(tmp_path: Path) -> None:
    draw(ROWS, ["set", "other"], tmp_path / "method.png")
    assert (tmp_path / "method.png").read_bytes().startswith(b"\x89PNG")
