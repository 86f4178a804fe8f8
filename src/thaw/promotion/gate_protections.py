"""The protections of the gate: which ones the rules in ``params.yaml`` leave on.

A rule that cannot fail protects nothing. A decision without a protection is named so everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from thaw.metrics.predictions import Predictions
from thaw.metrics.registry import METRICS
from thaw.promotion.rule_result import RuleResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from thaw.config.promotion_sections import Promote, Protection

WIDEST_MARGIN = 0.25  # from here on, a margin excludes hardly anything
_LEAST_CONFIDENCE = 0.8
_ROUNDING = 1e-9
_MOST_IMAGES = 10_000  # that a guess is scored on: it takes memory for each image and class


def protections_off(settings: Promote, targets: NDArray[np.int64]) -> dict[Protection, str]:
    """Return the protections that are off, each with the reason.

    ``targets`` (N,) are those of the test split.
    """
    found: dict[Protection, str] = {}
    guess = _guess(targets)
    if not _excludes_guessing(settings, guess):
        found["floor"] = "no floor or ceiling of a metric excludes a model that guesses"
    compared = [name for name, margin in settings.not_worse.items() if margin < WIDEST_MARGIN]
    if settings.better != "none":
        compared.append(settings.better)
    if not compared:
        found["comparison"] = (
            f"promote.better is none, and promote.not_worse has no margin below {WIDEST_MARGIN}"
        )
    elif all(_is_perfect(guess, name) for name in compared):
        found["comparison"] = (
            f"only {', '.join(dict.fromkeys(compared))} is compared, and a model that guesses has "
            "the best value"
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


def _guess(targets: NDArray[np.int64]) -> Predictions:
    """Return the answers of the best model that sees no image: the shares of the classes.

    Its ECE is 0.
    """
    some = np.sort(targets)[:: -(-len(targets) // _MOST_IMAGES)]
    shares = np.bincount(some) / len(some)
    return Predictions(np.tile(shares, (len(some), 1)), some, bins=1)


def _is_perfect(guess: Predictions, name: str) -> bool:
    """Return whether no model has a better value than ``guess``."""
    metric = METRICS[name]
    return not metric.higher_is_better and metric.value(guess) <= _ROUNDING


def _excludes_guessing(settings: Promote, guess: Predictions) -> bool:
    """Return whether a floor or ceiling excludes a model that sees no image."""
    bounds = (
        *((name, least, True) for name, least in settings.floors.items()),
        *((name, most, False) for name, most in settings.ceilings.items()),
    )
    return any(_is_excluded(guess, name, bound, floor=is_floor) for name, bound, is_floor in bounds)


def _is_excluded(guess: Predictions, name: str, bound: float, *, floor: bool) -> bool:
    metric = METRICS.get(name)
    if metric is None or metric.higher_is_better != floor:  # a cost, or a bound on the good side
        return False
    value = metric.value(guess)
    return value < bound - _ROUNDING if floor else value > bound + _ROUNDING
