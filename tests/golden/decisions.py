"""The gate's decision on fixed predictions."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from tests import settings
from tests.promotion.scored_versions import CHAMPION, ORIGIN, SPREAD, judged, scored
from thaw.config.promotion_sections import Promote


def decide() -> dict[str, list[dict[str, Any]]]:
    """Return every rule of the default gate for some challengers, by the name of the case."""
    rules: Promote = settings.PARAMS.promote
    better = Promote.model_validate({**rules.model_dump(), "better": "accuracy"})
    strict = {"confidence": 0.9, "better": "log_loss", "not_worse": {"macro_f1": 0.05, "ece": 0.05}}
    resampled = Promote.model_validate({**rules.model_dump(), **strict})
    few = SPREAD[::3]
    cases = {
        "first": judged(rules, scored(SPREAD), None),
        "same": judged(rules, scored(SPREAD), CHAMPION),
        "better": judged(better, scored(few), CHAMPION),
        "worse": judged(rules, scored(list(range(0, 300, 4))), CHAMPION),
        "overconfident": judged(rules, scored(SPREAD, sure=0.999), CHAMPION),
        "resampled": judged(resampled, scored(few), CHAMPION),
        "uncommitted": judged(rules, scored(SPREAD), CHAMPION, replace(ORIGIN, dirty="true")),
        "other data": judged(rules, scored(SPREAD), CHAMPION, replace(ORIGIN, data_here="new")),
    }
    return {name: [asdict(rule) for rule in found] for name, found in cases.items()}
