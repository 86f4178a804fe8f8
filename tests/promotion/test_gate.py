from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from tests import settings
from thaw.config.promotion_sections import Promote
from thaw.evaluation.scores import score
from thaw.metrics.predictions import Predictions
from thaw.promotion import gate_report
from thaw.promotion.gate import check_rules
from thaw.promotion.gate_report import Report
from thaw.promotion.origin import Origin
from thaw.promotion.scoring import ScoredVersion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thaw.promotion.rule_result import RuleResult

CLASSES = ["cat", "dog", "yak"]
IMAGES = 300
TARGETS = np.arange(IMAGES) % 3
DIGEST = "d" * 64
ORIGIN = Origin(
    tagged_digest=DIGEST,
    commit="c" * 40,
    dirty="false",
    data_digest="data",
    lock_digest="lock",
    data_here="data",
    lock_here="lock",
    test_digest="test",
    test_here="test",
    prepared_locked="prepared",
    prepared_here="prepared",
)
NOTHING: dict[str, Any] = {
    "floors": {},
    "ceilings": {},
    "better": "none",
    "not_worse": {},
    "confidence": 0.95,
    "class_margin": 1.0,
    "provenance": {"committed": False, "data": False, "dvc_lock": False},
}


def rules(**changes: Any) -> Promote:
    return Promote.model_validate({**NOTHING, **changes})


def probabilities(wrong: list[int], sure: float = 0.9) -> NDArray[np.float64]:
    """Right but for the images in ``wrong``, always as sure."""
    predicted = TARGETS.copy()
    predicted[wrong] = (predicted[wrong] + 1) % 3
    return np.where(np.eye(3)[predicted] == 1, sure, (1 - sure) / 2)


def scored(
    wrong: list[int], sure: float = 0.9, version: int = 2, **metrics: float
) -> ScoredVersion:
    made = probabilities(wrong, sure)
    scores = score(Predictions(made, TARGETS, 15), CLASSES)
    recalls = {row["class"]: row["recall"] for row in scores.per_class}
    measured = {**scores.summary, "latency_ms": 5.0, "size_mb": 2.0, **metrics}
    return ScoredVersion(version, DIGEST, made, measured, recalls)


def judged(
    settings: Promote,
    challenger: ScoredVersion,
    champion: ScoredVersion | None = None,
    origin: Origin = ORIGIN,
) -> list[RuleResult]:
    return check_rules(settings, challenger, champion, TARGETS, origin, 15)


def failed(*arguments: Any, **options: Any) -> list[str]:
    return [rule.name for rule in judged(*arguments, **options) if not rule.passed]


SPREAD = list(range(0, IMAGES, 10))  # 30 images of all classes
CHAMPION = scored(SPREAD, version=1)


@pytest.mark.parametrize(
    ("changes", "challenger", "fails"),
    [
        ({"floors": {"accuracy": 0.9}}, scored(SPREAD), []),
        ({"floors": {"accuracy": 0.91}}, scored(SPREAD), ["accuracy"]),
        ({"floors": {"worst_class_recall": 0.95}}, scored(SPREAD), ["worst_class_recall"]),
        ({"floors": {"macro_f1": 0.5, "accuracy": 0.99}}, scored(SPREAD), ["accuracy"]),
        ({"ceilings": {"log_loss": 0.1}}, scored(SPREAD), ["log_loss"]),
        ({"ceilings": {"ece": 0.05}}, scored(SPREAD), []),
        ({"ceilings": {"ece": 0.05}}, scored(SPREAD, sure=0.6), ["ece"]),
        ({"ceilings": {"latency_ms": 4.9}}, scored(SPREAD), ["latency_ms"]),
        ({"ceilings": {"latency_ms": 5.0, "size_mb": 1.9}}, scored(SPREAD), ["size_mb"]),
        ({"better": "accuracy"}, scored(SPREAD), ["accuracy: better"]),
        ({"better": "accuracy"}, scored(SPREAD[:20]), []),
        ({"better": "accuracy"}, scored(SPREAD[:27]), ["accuracy: better"]),  # p = 1/8
        ({"better": "log_loss"}, scored(SPREAD[:20]), []),
        ({"better": "macro_f1"}, scored(SPREAD[:20]), []),
        ({"not_worse": {"accuracy": 0.02}}, scored(SPREAD), []),
        ({"not_worse": {"accuracy": 0.02}}, scored([*SPREAD, 1, 4, 7, 11]), ["accuracy: not worse"]),  # noqa: E501
        ({"not_worse": {"log_loss": 0.1}}, scored(SPREAD, sure=0.85), []),
        ({"not_worse": {"log_loss": 0.1}}, scored(SPREAD, sure=0.999), ["log_loss: not worse"]),
        ({"class_margin": 0.05}, scored([*SPREAD, 1, 4, 7, 13, 16]), []),
        ({"class_margin": 0.05}, scored([*SPREAD, 1, 4, 7, 13, 16, 19]), ["classes"]),
    ],
)  # fmt: skip
def test_a_rule_passes_exactly_the_models_that_it_should(
    changes: dict[str, Any], challenger: ScoredVersion, fails: list[str]
) -> None:
    assert failed(rules(**changes), challenger, CHAMPION) == fails


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("bound", ["floors", "ceilings"])
@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "latency_ms"])
def test_a_missing_or_infinite_value_never_passes(
    value: float | None, bound: str, metric: str
) -> None:
    challenger = scored(SPREAD)
    if value is None:
        del challenger.metrics[metric]
    else:
        challenger.metrics[metric] = value
    limit = -1e9 if bound == "floors" else 1e9
    assert failed(rules(**{bound: {metric: limit}}), challenger) == [metric]


@pytest.mark.parametrize("which", ["challenger", "champion"])
def test_a_comparison_with_a_missing_number_never_passes(which: str) -> None:
    pair = {"challenger": scored([]), "champion": scored(SPREAD, version=1)}
    pair[which].metrics["log_loss"] = math.nan
    settings = rules(not_worse={"log_loss": 0.5}, better="accuracy")
    assert failed(settings, pair["challenger"], pair["champion"]) == ["log_loss: not worse"]


@pytest.mark.parametrize("which", ["challenger", "champion"])
def test_outputs_that_are_not_finite_never_pass(which: str) -> None:
    pair = {"challenger": scored([]), "champion": scored(SPREAD, version=1)}
    made = pair[which].probabilities
    assert made is not None
    made[3, 0] = math.nan
    assert failed(rules(better="accuracy"), pair["challenger"], pair["champion"]) == [
        "accuracy: better",
        "classes",
    ]


def test_a_model_that_cannot_be_scored_passes_no_comparison() -> None:
    broken = ScoredVersion(2, problem="its file is damaged")
    found = judged(rules(floors={"accuracy": 0.1}, not_worse={"accuracy": 0.5}), broken, CHAMPION)
    assert not any(rule.passed for rule in found)
    assert "its file is damaged" in found[0].sentence
    lost = ScoredVersion(1, problem="it has other classes")
    sentences = [rule.sentence for rule in judged(rules(better="ece"), scored([]), lost)]
    assert sentences[1:] == ["version 1 cannot be scored here: it has other classes"] * 2


STRICT = rules(provenance={"committed": True, "data": True, "dvc_lock": True})


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, []),
        ({"tagged_digest": ""}, ["artifact"]),
        ({"tagged_digest": "e" * 64}, ["artifact"]),
        ({"commit": ""}, ["committed"]),
        ({"dirty": "true"}, ["committed"]),
        ({"dirty": ""}, ["committed"]),
        ({"data_digest": ""}, ["data"]),
        ({"data_here": "other"}, ["data"]),
        ({"test_digest": ""}, ["test split"]),
        ({"test_here": "other"}, ["test split"]),
        ({"prepared_locked": ""}, ["data/prepared"]),
        ({"prepared_here": "other"}, ["data/prepared"]),
        ({"lock_digest": "", "lock_here": ""}, ["dvc.lock"]),
        ({"lock_digest": "none", "lock_here": None}, ["dvc.lock"]),
        ({"lock_here": None}, ["dvc.lock"]),
        ({"lock_here": "other"}, ["dvc.lock"]),
    ],
)
def test_provenance_must_be_known_and_agree(changes: dict[str, Any], fails: list[str]) -> None:
    assert failed(STRICT, scored([]), origin=replace(ORIGIN, **changes)) == fails
    artifact = [name for name in fails if name == "artifact"]
    assert failed(rules(), scored([]), origin=replace(ORIGIN, **changes)) == artifact


def test_without_a_champion_there_are_only_rules_that_need_none() -> None:
    settings = rules(floors={"accuracy": 0.5}, better="accuracy", not_worse={"ece": 0.1})
    assert [rule.name for rule in judged(settings, scored([]))] == ["artifact", "accuracy"]


@pytest.mark.parametrize(
    ("challenger", "says"),
    [
        (scored(SPREAD[:27]), "too few images to tell (300 images, about "),
        (scored(SPREAD + list(range(1, 300, 15))), "it is worse ("),
        (scored(SPREAD[:10]), "sure that it is better"),
        (scored(SPREAD), "too few images to tell (300 images)"),
    ],
)
def test_a_comparison_says_whether_its_result_is_clear(
    challenger: ScoredVersion, says: str
) -> None:
    found = judged(rules(better="accuracy"), challenger, CHAMPION)
    assert says in next(rule.sentence for rule in found if rule.name == "accuracy: better")


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
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    gate_report.show(made, console)
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


def test_a_failed_rule_names_the_command_that_helps() -> None:
    odd = replace(ORIGIN, dirty="true", lock_here="other")
    sentences = " ".join(rule.sentence for rule in judged(STRICT, scored([]), origin=odd))
    assert "commit them, then `dvc repro -s -f evaluate`" in sentences  # DVC sees nothing to do
    assert "take pipeline/dvc.lock from the run, then `dvc checkout`" in sentences


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


def test_the_projects_own_rules_are_strict() -> None:
    shipped = settings.PARAMS.promote
    assert all(shipped.provenance.model_dump().values())
    assert "accuracy" in shipped.not_worse
    assert shipped.confidence >= 0.95
