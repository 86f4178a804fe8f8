from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.promotion.test_gate_report import reported
from thaw.cli.gate_table import show
from thaw.promotion.rule_result import RuleResult

if TYPE_CHECKING:
    from thaw.promotion.gate_report import Report


def printed(report: Report, width: int = 80) -> str:
    out = io.StringIO()
    show(report, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_each_rule_is_one_line_of_the_table_at_80_columns(width: int) -> None:
    made = reported()
    lines = printed(made, width).splitlines()
    for rule in made.rules:
        table = [one for one in lines if one.startswith(("pass", "FAIL"))]
        (line,) = [one for one in table if f" {rule.name} " in one]
        assert rule.needed in line
        assert rule.challenger.rpartition(": ")[2] in line
    assert max(map(len, lines[1:])) <= width


def test_the_rule_of_the_classes_says_that_its_values_are_recalls() -> None:
    rule = RuleResult("classes", "a: 1", "b: 0.9", "fall at most 0.12", passed=True, sentence="")
    text = printed(replace(reported(), rules=[rule]))
    assert text.splitlines()[2].split("  ")[1:2] == ["classes (recall)"]


def test_digests_and_names_are_never_broken_at_60_columns() -> None:
    made = reported()
    rule = RuleResult("committed", "0123456789ab", "", "a commit", passed=False, sentence="commit")
    made = replace(made, rules=[*made.rules, rule])
    text = printed(made, 60)
    lines = [one for one in text.splitlines() if one.startswith(("pass", "FAIL"))]
    assert len(lines) == len(made.rules)
    assert "01234567 " in text
    assert max(map(len, text.splitlines()[1:])) <= 60


def test_failed_rules_are_explained_below_the_table_and_notes_follow() -> None:
    made = reported()
    text = " ".join(printed(made).split())
    for rule in made.failed:
        assert f"{rule.name}: {' '.join(rule.sentence.split())}" in text
    assert text.endswith("note: a | note")


def test_one_reason_of_several_rules_is_printed_once() -> None:
    made = reported()
    rules = [RuleResult(name, "", "", "", passed=False, sentence="other classes") for name in "ab"]
    text = printed(replace(made, rules=[*made.rules, *rules]))
    assert text.count("other classes") == 1
    assert "a, b: other classes" in text


def test_the_columns_name_the_versions_and_the_alias() -> None:
    assert "version 2" in printed(reported())
    first = printed(reported(against=None, alias="staging"))
    assert "no staging yet" in first
    assert "champion" not in first


def test_a_lost_champion_is_not_said_to_be_absent_until_now() -> None:
    rule = RuleResult("comparison", "", "none", "a champion", passed=False, sentence="damaged")
    lost = replace(reported(against=None), rules=[rule])
    assert "no champion to compare with" in printed(lost)
    assert "no champion yet" not in printed(lost)
