from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.promotion.scored_versions import (
    CHAMPION,
    SPREAD,
    TARGETS,
    failed,
    judged,
    rules,
    scored,
)
from thaw.promotion.comparison_rules import comparison_rules, difference_text
from thaw.promotion.scoring import ScoredVersion


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


def test_the_remedy_for_other_classes_depends_on_which_version_has_them() -> None:
    settings = rules(not_worse={"accuracy": 0.5})
    champion = ScoredVersion(1, problem="other classes", has_other_classes=True)
    (rule, classes) = judged(settings, scored([]), champion)[-2:]
    # The challenger is the version that `dvc repro` has registered on this data.
    assert "promote the version that it registers" not in rule.sentence
    assert "--force --reason" in rule.sentence
    assert "tracking.registered_model" in rule.sentence
    assert classes.sentence == rule.sentence
    challenger = ScoredVersion(2, problem="other classes", has_other_classes=True)
    rule = judged(settings, challenger, CHAMPION)[-1]
    assert "`dvc repro` trains on the classes of the data" in rule.sentence
    assert "--force" not in rule.sentence


@pytest.mark.parametrize(
    ("challenger", "says"),
    [
        (
            scored(SPREAD[:27]),
            "300 test images are too few to be 95% sure that it is better; about ",
        ),
        (
            scored(SPREAD[:29]),
            "300 test images are too few to be 95% sure that it is better; about 1,78",
        ),
        (scored(SPREAD + list(range(1, 300, 15))), "sure that it is worse"),
        (scored(SPREAD[:10]), "sure that it is better"),
        (
            scored(SPREAD),
            "300 test images do not show that it is better, and no number of images would at this "
            "difference: train a better model",
        ),
    ],
)
def test_a_comparison_says_whether_its_result_is_clear(
    challenger: ScoredVersion, says: str
) -> None:
    found = judged(rules(better="accuracy"), challenger, CHAMPION)
    assert says in next(rule.sentence for rule in found if rule.name == "accuracy: better")


@pytest.mark.parametrize(("confidence", "shown"), [(0.975, "97.5%"), (0.999, "99.9%")])
def test_the_confidence_is_not_rounded(confidence: float, shown: str) -> None:
    settings = rules(better="accuracy", confidence=confidence)
    rule = judged(settings, scored(SPREAD[:27]), CHAMPION)[-2]
    assert rule.needed == f"{shown} sure"
    assert f"too few to be {shown} sure" in rule.sentence


def test_equal_outputs_on_few_images_are_told_how_many_would_do() -> None:
    few = slice(0, 27)
    own, other = (
        replace(one, probabilities=one.probabilities[few])  # type: ignore[index]
        for one in (scored([]), scored([], version=1))
    )
    settings = rules(not_worse={"accuracy": 0.02})
    compared = comparison_rules(settings, own, other, TARGETS[few], 15)
    found = {rule.name: rule for rule in compared}
    assert found["accuracy: not worse"].sentence == (
        "no difference: 27 test images are too few to be 95% sure that it is not worse by "
        "0.02 or more; about 149 would be enough if the difference stayed the same; "
        "promote.not_worse.accuracy sets the margin"
    )


def test_the_same_model_is_not_worse_on_any_number_of_images_but_not_better() -> None:
    pair = replace(scored([]), content="c"), replace(scored([], version=1), content="c")
    settings = rules(not_worse={"accuracy": 0.001, "log_loss": 0.001}, better="accuracy")
    found = {rule.name: rule for rule in judged(settings, *pair)}
    assert found["accuracy: not worse"].passed
    assert found["log_loss: not worse"].passed
    assert not found["accuracy: better"].passed
    assert found["accuracy: better"].sentence == (
        "it is the same model as version 1: every weight is equal"
    )


def test_a_difference_is_told_in_words_whichever_direction_is_better() -> None:
    assert difference_text(0.0659) == "0.0659 better"
    assert difference_text(-0.05) == "0.0500 worse"
    assert difference_text(-1e-6) == "less than 0.0001 worse"
    assert difference_text(0.0) == "no difference"
