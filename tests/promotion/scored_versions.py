"""Scored versions on fixed predictions, and the results of the gate's rules for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thaw.config.promotion_sections import Promote
from thaw.evaluation.scores import score
from thaw.metrics.predictions import Predictions
from thaw.promotion.gate import check_rules
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
    "minimum": [],
    "provenance": {"committed": False, "data": False, "dvc_lock": False},
}


def rules(**changes: Any) -> Promote:
    """Return gate settings without any rule but those in ``changes``."""
    return Promote.model_validate({**NOTHING, **changes})


def probabilities(wrong: list[int], sure: float = 0.9) -> NDArray[np.float64]:
    """Return outputs (N, 3) that are right except for the images in ``wrong``.

    Every prediction has the probability ``sure``.
    """
    predicted = TARGETS.copy()
    predicted[wrong] = (predicted[wrong] + 1) % 3
    return np.where(np.eye(3)[predicted] == 1, sure, (1 - sure) / 2)


def scored(
    wrong: list[int], sure: float = 0.9, version: int = 2, **metrics: float
) -> ScoredVersion:
    """Return a version that is wrong on the images in ``wrong``; ``metrics`` replace values."""
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
    """Return the results of the rules."""
    return check_rules(settings, challenger, champion, TARGETS, origin, 15)


def failed(*arguments: Any, **options: Any) -> list[str]:
    """Return the names of the rules that fail."""
    return [rule.name for rule in judged(*arguments, **options) if not rule.passed]


SPREAD = list(range(0, IMAGES, 10))  # 30 images of all classes
CHAMPION = scored(SPREAD, version=1)
