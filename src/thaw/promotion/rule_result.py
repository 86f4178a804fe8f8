"""The result of one rule of the gate."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RuleResult:
    """The result of a rule: both values and what is needed, as text, and an explanation."""

    name: str
    challenger: str
    champion: str
    needed: str
    passed: bool
    sentence: str


def format_number(value: float) -> str:
    """Return ``value`` as text, with up to four decimals; "missing" if it is not finite."""
    if not math.isfinite(value):
        return "missing"
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.1f}"
