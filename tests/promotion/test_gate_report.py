from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from tests.promotion.scored_versions import (
    CHAMPION,
    IMAGES,
    SPREAD,
    judged,
    rules,
    scored,
)
from thaw.cli import gate_table
from thaw.promotion import gate_report
from thaw.promotion.gate import ARTIFACT
from thaw.promotion.gate_report import Report
from thaw.promotion.rule_result import RuleResult

GOOD = RuleResult("accuracy: better", "0.9", "0.8", "95% sure", True, "99% sure")
BAD = RuleResult("latency_ms", "9", "5", "at most 6", False, "too | slow\nhere")
DAMAGED = replace(BAD, name=ARTIFACT)
REPORT = Report("m", 3, "champion", 2, "2026-01-01T00:00:00+00:00", "a@b", 300, [GOOD])


@pytest.mark.parametrize(
    ("rules", "force", "verdict"),
    [
        ([GOOD], False, "passed"),
        ([GOOD], True, "passed"),
        ([GOOD, BAD], False, "refused"),
        ([GOOD, BAD], True, "forced"),
        ([GOOD, DAMAGED], True, "refused"),
    ],
)
def test_a_failed_rule_can_be_forced_except_for_a_damaged_artifact(
    rules: list[RuleResult], force: bool, verdict: str
) -> None:
    assert replace(REPORT, rules=rules, force=force).verdict == verdict


def test_rules_that_leave_out_a_protection_never_read_as_passed() -> None:
    made = replace(REPORT, off=["comparison", "floor"])
    assert made.verdict == "passed, protections off"
    assert made.summary == (
        "passed all 1 rules against version 2 (protections off: comparison, floor)"
    )
    assert "Gate: passed, protections off" in gate_report.as_note(made)
    assert json.loads(gate_report.as_json(made))["off"] == ["comparison", "floor"]
    assert "passed, protections off" in gate_report.as_html(made)
    assert replace(made, rules=[BAD]).verdict == "refused"


def test_the_summary_names_the_failed_rules_and_the_reason_for_forcing() -> None:
    forced = replace(REPORT, rules=[GOOD, BAD], force=True, reason="urgent")
    assert forced.summary == ("1 of 2 rules failed against version 2: latency_ms; forced: urgent")
    alone = replace(REPORT, against=None, dirty=True)
    assert alone.summary == ("passed all 1 rules without a champion (the rules were not committed)")


def test_the_json_of_a_report_has_its_verdict_and_its_rules() -> None:
    content = json.loads(gate_report.as_json(REPORT))
    assert (content["verdict"], content["version"]) == ("passed", 3)
    assert content["rules"][0]["name"] == "accuracy: better"


def test_the_description_of_a_version_keeps_each_rule_in_one_row_of_its_table() -> None:
    note = gate_report.as_note(replace(REPORT, rules=[GOOD, BAD]))
    assert note.startswith("**Gate: refused** for @champion")
    assert r"| latency_ms | **FAIL** | too \| slow here |" in note.splitlines()


def test_the_page_of_a_report_escapes_text() -> None:
    page = gate_report.as_html(replace(REPORT, name="<script>"))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def reported(**changes: Any) -> Report:
    challenger = scored([*SPREAD, 1, 4, 7, 10, 13])
    settings = rules(floors={"accuracy": 0.5}, not_worse={"accuracy": 0.02}, class_margin=0.02)
    made = Report(
        name="<b>m</b>",
        version=2,
        alias="champion",
        against=1,
        when="2026-01-01T00:00:00+00:00",
        who="a@b",
        images=IMAGES,
        rules=judged(settings, challenger, CHAMPION),
        metrics=gate_report.metric_values(challenger, CHAMPION),
        recalls=gate_report.recalls(challenger, CHAMPION),
        notes=["a | note"],
    )
    return replace(made, **changes)


def test_all_forms_of_the_report_have_the_same_content() -> None:
    made = reported()
    assert made.verdict == "refused"
    content = json.loads(gate_report.as_json(made))
    assert content["verdict"] == "refused"
    assert [rule["passed"] for rule in content["rules"]] == [True, True, False, False]
    console = Console(width=160, record=True, file=io.StringIO())
    gate_table.show(made, console)
    printed, page, note = (
        console.export_text(),
        gate_report.as_html(made),
        gate_report.as_note(made),
    )
    for rule in made.rules:
        assert rule.name in printed
        assert rule.name in page
        assert rule.name in note
    assert printed.count("FAIL") == page.count("✗ fail") == note.count("**FAIL**") == 2
    assert "<b>m</b>" not in page
    assert "http" not in page  # nothing is loaded from anywhere


def test_all_forms_of_the_report_say_that_the_rules_are_not_committed() -> None:
    made = reported(dirty=True, commit="c" * 40)
    assert "(the rules were not committed)" in made.summary
    assert json.loads(gate_report.as_json(made))["commit"] == "c" * 40
    assert "not committed" not in reported().summary


def test_a_forced_report_has_the_reason_unless_all_rules_pass() -> None:
    forced = reported(force=True, reason="because")
    assert forced.verdict == "forced"
    assert forced.summary.endswith("forced: because")
    fine = [rule for rule in forced.rules if rule.passed]
    assert reported(force=True, reason="because", rules=fine).verdict == "passed"
