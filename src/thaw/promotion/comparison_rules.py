"""The rules of the gate that compare a challenger with the champion."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from thaw.metrics.registry import METRICS
from thaw.promotion.paired_tests import Comparison, Pair, compare
from thaw.promotion.rule_result import RuleResult, format_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from thaw.config.promotion_sections import Promote
    from thaw.promotion.scoring import ScoredVersion

_SMALLEST_SHOWN = 0.0001  # difference of a metric
_TRAIN = "`dvc repro` trains on the classes of the data: promote the version that it registers"
_DECIDE = (
    'Nothing can be compared with it. `--force --reason "..."` decides without it; or set another '
    "tracking.registered_model for these classes, and `dvc repro`"
)
_SAME = "it is the same model as version {}: every weight is equal"


def comparison_rules(
    settings: Promote,
    challenger: ScoredVersion,
    champion: ScoredVersion,
    targets: NDArray[np.int64],
    bins: int,
) -> Iterator[RuleResult]:
    """Yield the results of the rules that compare.

    If one of the models cannot be scored, none of them passes. ``targets`` (N,) are those of the
    test split, ``bins`` is the number of bins for the calibration error.
    """
    margins = settings.not_worse
    tests = [(metric, margin, f"{metric}: not worse") for metric, margin in margins.items()]
    if settings.better != "none":
        tests.append((settings.better, 0.0, f"{settings.better}: better"))
    unscored = next((s for s in (challenger, champion) if not _is_usable(s, targets)), None)
    for metric, margin, name in tests:
        needed = f"{_asked(settings.confidence)} sure" + (
            f", margin {format_number(margin)}" if margin else ""
        )
        own, other = (s.metrics.get(metric, math.nan) for s in (challenger, champion))
        if unscored is not None or not (math.isfinite(own) and math.isfinite(other)):
            passed, sentence = False, _no_comparison(unscored, metric, challenger)
        elif challenger.content and challenger.content == champion.content:
            passed, sentence = margin > 0, _SAME.format(champion.version)
        else:
            assert challenger.probabilities is not None
            assert champion.probabilities is not None
            pair = Pair(challenger.probabilities, champion.probabilities, targets, bins)
            found = compare(pair, METRICS[metric], margin=margin, confidence=settings.confidence)
            passed = found.confidence >= settings.confidence
            sentence = _sentence(found, metric, margin, settings.confidence)
        yield RuleResult(name, format_number(own), format_number(other), needed, passed, sentence)
    if unscored is None:
        yield _classes(settings.class_margin, challenger, champion)
    else:
        passed, sentence = False, _no_comparison(unscored, "recall", challenger)
        yield RuleResult("classes", "", "", "every class", passed, sentence)


def further_comparisons(
    settings: Promote,
    challenger: ScoredVersion,
    others: Sequence[ScoredVersion],
    targets: NDArray[np.int64],
    bins: int,
) -> Iterator[RuleResult]:
    """Yield the results of the same rules for further versions, with the version in the name."""
    for other in others:
        for rule in comparison_rules(settings, challenger, other, targets, bins):
            yield replace(rule, name=f"{rule.name} (version {other.version})")


def _is_usable(scored: ScoredVersion, targets: NDArray[np.int64]) -> bool:
    found = scored.probabilities
    return found is not None and len(found) == len(targets) and bool(np.isfinite(found).all())


def _no_comparison(unscored: ScoredVersion | None, metric: str, challenger: ScoredVersion) -> str:
    if unscored is None:
        return f"{metric} is missing or not finite: that never passes"
    reason = unscored.problem or "its outputs are not finite"
    if unscored.has_other_classes:
        reason += f". {_TRAIN if unscored is challenger else _DECIDE}"
    return f"version {unscored.version} cannot be scored here: {reason}"


def _sentence(found: Comparison, metric: str, margin: float, confidence: float) -> str:
    claim = f"not worse by {format_number(margin)} or more" if margin else "better"
    difference = difference_text(found.advantage)
    if found.confidence >= confidence:
        return f"{difference}: {_percent(found.confidence)} sure that it is {claim}"
    if found.confidence_worse >= confidence:
        return f"{difference}: {_percent(found.confidence_worse)} sure that it is worse"
    is_limited = METRICS[metric].limited_by_smallest_class
    images = f"{found.images} {'images of the smallest class' if is_limited else 'test images'}"
    if found.needed is None:
        return (
            f"{difference}: {images} do not show that it is {claim}, and no number of images would "
            "at this difference: train a better model"
        )
    if found.needed <= found.images:
        return f"{difference}: {images} do not show that it is {claim}"
    other = f"; promote.not_worse.{metric} sets the margin" if margin else ""
    return (
        f"{difference}: {images} are too few to be {_asked(confidence)} sure that it is {claim}; "
        f"about {found.needed:,} would be enough if the difference stayed the same{other}"
    )


def difference_text(advantage: float) -> str:
    """Return the difference in words, since a larger value of some metrics is worse."""
    if advantage == 0.0:
        return "no difference"
    size = abs(advantage)
    text = f"{size:.4f}" if size >= _SMALLEST_SHOWN else f"less than {_SMALLEST_SHOWN}"
    return f"{text} {'better' if advantage > 0 else 'worse'}"


def _asked(confidence: float) -> str:
    """Return ``promote.confidence`` without rounding: 0.999 is not 100 %."""
    return f"{100 * confidence:g}%"


def _percent(share: float) -> str:
    return f"{min(share, 0.9999):.2%}"


def _classes(margin: float, challenger: ScoredVersion, champion: ScoredVersion) -> RuleResult:
    falls = {
        label: recall - challenger.recalls.get(label, -math.inf)
        for label, recall in champion.recalls.items()
    }
    label = max(falls, key=falls.__getitem__)
    fell = [name for name, fall in falls.items() if not fall <= margin + 1e-9]
    sentence = f"no class's recall falls by more than {format_number(margin)}"
    if fell:
        listed = ", ".join(f"{name} by {falls[name]:.3f}" for name in fell[:5])
        more = f" and {len(fell) - 5} more" if len(fell) > 5 else ""
        sentence = f"the recall falls: {listed}{more}"
    return RuleResult(
        "classes",
        f"{label}: {format_number(challenger.recalls.get(label, math.nan))}",
        f"{label}: {format_number(champion.recalls[label])}",
        f"fall at most {format_number(margin)}",
        not fell,
        sentence,
    )
