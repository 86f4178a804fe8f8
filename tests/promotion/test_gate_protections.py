from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from tests.promotion.scored_versions import rules
from thaw.config.promotion_sections import Promote
from thaw.promotion.gate_protections import minimum_result, off_notes, protections_off

ALL = ["floor", "comparison", "classes", "committed", "data", "dvc_lock"]


def off(classes: int = 10, **changes: Any) -> list[str]:
    """Return what is off if ``changes`` are made to the default rules."""
    settings = Promote.model_validate({**Promote().model_dump(), **changes})
    return list(protections_off(settings, classes))


def test_the_default_rules_leave_every_protection_on() -> None:
    assert off() == []
    assert minimum_result(Promote(), protections_off(Promote(), 2)) is None


def test_rules_that_are_all_empty_leave_every_protection_off() -> None:
    assert list(protections_off(rules(), 3)) == ALL


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"floors": {}, "ceilings": {}}, ["floor"]),
        ({"floors": {}}, []),  # the ceiling of ece is left
        ({"floors": {"accuracy": 0.1}, "ceilings": {}}, ["floor"]),  # 10 classes: guessing
        ({"floors": {"accuracy": -5.0}, "ceilings": {"ece": 1.0}}, ["floor"]),
        ({"floors": {"latency_ms": 3.0}, "ceilings": {"size_mb": 9.0}}, ["floor"]),
        ({"floors": {"log_loss": 3.0}, "ceilings": {"accuracy": 0.9}}, ["floor"]),
        ({"floors": {"accuracy": 0.2}, "ceilings": {}}, []),
        ({"floors": {}, "ceilings": {"log_loss": math.log(10) + 0.1}}, ["floor"]),
        ({"floors": {}, "ceilings": {"log_loss": 1.0}}, []),
        ({"floors": {}, "ceilings": {"accuracy": 1e9}}, ["floor"]),
        ({"not_worse": {}}, ["comparison"]),
        ({"not_worse": {"accuracy": 1.0}}, ["comparison"]),
        ({"not_worse": {"accuracy": 0.49}, "class_margin": 0.49}, ["comparison", "classes"]),
        ({"not_worse": {"accuracy": 0.24}, "class_margin": 0.24}, []),
        ({"not_worse": {"accuracy": 0.5, "log_loss": 0.9}}, ["comparison"]),
        ({"not_worse": {"accuracy": 0.5, "log_loss": 0.1}}, []),
        ({"not_worse": {}, "better": "accuracy"}, []),
        ({"confidence": 0.500001}, ["comparison"]),
        ({"class_margin": 1.0}, ["classes"]),
        ({"provenance": {"committed": False}}, ["committed"]),
        ({"provenance": {"data": False, "dvc_lock": False}}, ["data", "dvc_lock"]),
    ],
)
def test_a_rule_that_cannot_fail_is_no_protection(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert off(**changes) == expected


@pytest.mark.parametrize("margin", [1e308, 1.0001, 0.0, -1.0, math.inf, math.nan])
def test_a_margin_beyond_the_range_of_a_metric_is_refused(margin: float) -> None:
    with pytest.raises(ValidationError):
        Promote.model_validate({"not_worse": {"accuracy": margin}})


def test_the_gate_refuses_while_a_protection_of_the_minimum_is_off() -> None:
    settings = Promote.model_validate({"not_worse": {}})
    rule = minimum_result(settings, protections_off(settings, 10))
    assert rule is not None
    assert not rule.passed
    assert rule.sentence.startswith("comparison is off: promote.better is none")
    assert rule.sentence.endswith("or take it out of promote.minimum and commit that")
    without = settings.model_copy(update={"minimum": ["floor"]})
    assert minimum_result(without, protections_off(without, 10)) is None


def test_the_note_names_what_is_off_and_why() -> None:
    assert off_notes({}) == []
    (note,) = off_notes(protections_off(Promote.model_validate({"class_margin": 1.0}), 3))
    assert note == (
        "protections of the gate that are off: classes (promote.class_margin is 0.25 or more)"
    )
