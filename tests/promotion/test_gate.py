from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests import settings
from tests.promotion.scored_versions import CHAMPION, ORIGIN, SPREAD, failed, judged, rules, scored

if TYPE_CHECKING:
    from thaw.promotion.scoring import ScoredVersion


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


def test_a_failed_rule_names_the_command_that_helps() -> None:
    odd = replace(ORIGIN, dirty="true", lock_here="other")
    sentences = " ".join(rule.sentence for rule in judged(STRICT, scored([]), origin=odd))
    assert (
        "commit them, then `dvc repro --single-item --force evaluate`" in sentences
    )  # DVC sees nothing to do
    assert "take pipeline/dvc.lock from the run, then `dvc checkout`" in sentences


def test_the_projects_own_rules_are_strict() -> None:
    shipped = settings.PARAMS.promote
    assert all(shipped.provenance.model_dump().values())
    assert "accuracy" in shipped.not_worse
    assert shipped.confidence >= 0.95
