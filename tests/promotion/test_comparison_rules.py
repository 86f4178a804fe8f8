from __future__ import annotations

import math

import pytest

from tests.promotion.scored_versions import CHAMPION, SPREAD, failed, judged, rules, scored
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
