"""The protections of the gate: which ones the rules in ``params.yaml`` leave on.

A rule that cannot fail protects nothing. A decision without a protection is named so everywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thaw.metrics.registry import METRICS
from thaw.promotion.rule_result import RuleResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thaw.config.promotion_sections import Promote, Protection

WIDEST_MARGIN = 0.25  # from here on, a margin excludes hardly anything
_LEAST_CONFIDENCE = 0.8


def protections_off(settings: Promote, classes: int) -> dict[Protection, str]:
    """Return the protections that are off, each with the reason.

    ``classes`` is the number of classes of the data.
    """
    found: dict[Protection, str] = {}
    if not (_has_floor(settings.floors, classes) or _has_ceiling(settings.ceilings, classes)):
        found["floor"] = "no floor or ceiling of a metric excludes a model that guesses"
    margins = [margin for margin in settings.not_worse.values() if margin < WIDEST_MARGIN]
    if settings.better == "none" and not margins:
        found["comparison"] = (
            f"promote.better is none, and promote.not_worse has no margin below {WIDEST_MARGIN}"
        )
    elif settings.confidence < _LEAST_CONFIDENCE:
        found["comparison"] = f"promote.confidence is below {_LEAST_CONFIDENCE}"
    if settings.class_margin >= WIDEST_MARGIN:
        found["classes"] = f"promote.class_margin is {WIDEST_MARGIN} or more"
    wanted = settings.provenance
    switches: dict[Protection, bool] = {
        "committed": wanted.committed, "data": wanted.data, "dvc_lock": wanted.dvc_lock,
    }  # fmt: skip
    for name, is_on in switches.items():
        if not is_on:
            found[name] = f"promote.provenance.{name} is false"
    return found


def minimum_result(settings: Promote, off: Mapping[Protection, str]) -> RuleResult | None:
    """Return a failed rule if a protection of ``promote.minimum`` is off, else None."""
    missing = [name for name in settings.minimum if name in off]
    if not missing:
        return None
    reasons = "; ".join(f"{name} is off: {off[name]}" for name in missing)
    return RuleResult(
        name="minimum",
        challenger="",
        champion="",
        needed=", ".join(settings.minimum),
        passed=False,
        sentence=f"{reasons}. Turn it on, or take it out of promote.minimum and commit that",
    )


def off_notes(off: Mapping[Protection, str]) -> list[str]:
    """Return a note that names the protections that are off, nothing if all are on."""
    if not off:
        return []
    listed = "; ".join(f"{name} ({reason})" for name, reason in off.items())
    return [f"protections of the gate that are off: {listed}"]


def _has_floor(floors: Mapping[str, float], classes: int) -> bool:
    """Return whether a floor excludes a model that guesses."""
    for name, least in floors.items():
        metric = METRICS.get(name)
        if metric is not None and metric.higher_is_better:
            guessed = 1 / max(classes, 1) if metric.is_share_correct else 0.0
            if least > guessed:
                return True
    return False


def _has_ceiling(ceilings: Mapping[str, float], classes: int) -> bool:
    for name, most in ceilings.items():
        metric = METRICS.get(name)
        if metric is not None and not metric.higher_is_better:
            guessed = math.log(max(classes, 2)) if name == "log_loss" else 1.0
            if most < guessed:
                return True
    return False
