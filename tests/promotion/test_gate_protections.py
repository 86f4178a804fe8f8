from __future__ import annotations

import math
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.promotion.scored_versions import rules
from thaw.config.promotion_sections import Promote
from thaw.promotion.gate_protections import minimum_result, off_notes, protections_off

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = ["floor", "comparison", "classes", "committed", "data", "dvc_lock"]


BALANCED = np.arange(300) % 10
FIRST_90 = np.repeat([0, 1], [90, 10])  # 90 of 100 images are of one class


def off(targets: NDArray[np.int64] = BALANCED, **changes: Any) -> list[str]:
    """Return what is off if ``changes`` are made to the default rules."""
    settings = Promote.model_validate({**Promote().model_dump(), **changes})
    return list(protections_off(settings, targets))


def test_the_default_rules_leave_every_protection_on() -> None:
    assert off() == []
    assert minimum_result(Promote(), protections_off(Promote(), FIRST_90)) is None


def test_rules_that_are_all_empty_leave_every_protection_off() -> None:
    assert list(protections_off(rules(), BALANCED)) == ALL


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"floors": {}, "ceilings": {}}, ["floor"]),
        ({"floors": {}}, ["floor"]),  # a model that guesses passes the ceiling of ece
        ({"floors": {"accuracy": 0.1}, "ceilings": {}}, ["floor"]),  # 10 classes: guessing
        ({"floors": {"accuracy": -5.0}, "ceilings": {"ece": 1.0}}, ["floor"]),
        ({"floors": {"latency_ms": 3.0}, "ceilings": {"size_mb": 9.0}}, ["floor"]),
        ({"floors": {"log_loss": 3.0}, "ceilings": {"accuracy": 0.9}}, ["floor"]),
        ({"floors": {"accuracy": 0.2}, "ceilings": {}}, []),
        ({"floors": {}, "ceilings": {"log_loss": math.log(10) + 0.1}}, ["floor"]),
        ({"floors": {}, "ceilings": {"log_loss": 1.0}}, []),
        ({"floors": {}, "ceilings": {"accuracy": 1e9}}, ["floor"]),
        ({"not_worse": {}}, ["comparison"]),
        ({"not_worse": {"ece": 0.05}}, ["comparison"]),  # a model that guesses has an ECE of 0
        ({"not_worse": {"ece": 0.05, "accuracy": 0.01}}, []),
        ({"not_worse": {}, "better": "ece"}, ["comparison"]),
        ({"not_worse": {}, "better": "log_loss"}, []),
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"floors": {"accuracy": 0.9}}, ["floor"]),
        ({"floors": {"accuracy": 0.91}}, []),
        ({"floors": {"macro_f1": 0.47}}, ["floor"]),
        ({"floors": {"macro_f1": 0.48}}, []),
        ({"floors": {"worst_class_recall": 0.1}}, []),
        ({"floors": {}, "ceilings": {"log_loss": 0.33}}, ["floor"]),
        ({"floors": {}, "ceilings": {"log_loss": 0.32}}, []),
    ],
)
def test_a_bound_that_the_largest_class_passes_alone_is_no_floor(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert off(FIRST_90, **changes) == expected


def test_the_guess_on_many_images_of_many_classes_takes_little_memory() -> None:
    many = np.arange(200_000) % 200
    tracemalloc.start()
    try:
        found = off(many, floors={"accuracy": 0.005}), off(many, floors={"accuracy": 0.006})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == (["floor"], [])
    assert peak < 100e6  # bytes; a probability for each image and class takes 320e6


@pytest.mark.parametrize("margin", [1e308, 1.0001, 0.0, -1.0, math.inf, math.nan])
def test_a_margin_beyond_the_range_of_a_metric_is_refused(margin: float) -> None:
    with pytest.raises(ValidationError):
        Promote.model_validate({"not_worse": {"accuracy": margin}})


def test_the_gate_refuses_while_a_protection_of_the_minimum_is_off() -> None:
    settings = Promote.model_validate({"not_worse": {}})
    rule = minimum_result(settings, protections_off(settings, BALANCED))
    assert rule is not None
    assert not rule.passed
    assert rule.sentence.startswith("comparison is off: promote.better is none")
    assert rule.sentence.endswith("or take it out of promote.minimum and commit that")
    without = settings.model_copy(update={"minimum": ["floor"]})
    assert minimum_result(without, protections_off(without, BALANCED)) is None


def test_the_note_names_what_is_off_and_why() -> None:
    assert off_notes({}) == []
    (note,) = off_notes(protections_off(Promote.model_validate({"class_margin": 1.0}), BALANCED))
    assert note == (
        "protections of the gate that are off: classes (promote.class_margin is 0.25 or more)"
    )
