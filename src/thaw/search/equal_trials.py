"""Trials with equal results: their parameters made no difference, and have no importance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import TrialState

from thaw.search import attempt

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

# Trials are equal if their objectives differ by no more: they are printed alike, and activations
# that are cached at other blocks differ by rounding.
_RELATIVE, _ABSOLUTE = 1e-4, 1e-9


def notes(study: optuna.Study, metric: str) -> list[str]:
    """Return a line for each reason why parameters had no effect in complete trials."""
    trials = _complete(study)
    if len(trials) < 2:
        return []
    found = []
    value, count = _largest_group(trials)
    if count > 1:
        many = f"all {count} complete" if count == len(trials) else f"{count} of {len(trials)}"
        line = (
            f"{many} trials have the same {metric}, {value:.4f}: with the seed of the search, "
            "their values make no difference"
        )
        shown = "" if has_importances(study) else "; no importance of parameters is shown"
        found.append(line + shown)
    unchanged = sum(_kept_start(trial) for trial in trials)
    if unchanged:
        found.append(
            f"{unchanged} of {len(trials)} trials kept epoch 0, the model before fine-tuning: "
            "with the seed of the search, their values of unfreeze have no effect"
        )
    return found


def has_importances(study: optuna.Study) -> bool:
    """Return whether the objectives of the complete trials differ enough to rank parameters.

    They do unless more than half of the trials are equal.
    """
    trials = _complete(study)
    return len(trials) > 1 and _largest_group(trials)[1] <= len(trials) / 2


def are_equal(first: float, second: float) -> bool:
    """Return whether two objectives differ by no more than rounding."""
    return bool(np.isclose(first, second, rtol=_RELATIVE, atol=_ABSOLUTE))


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _largest_group(trials: list[FrozenTrial]) -> tuple[float, int]:
    """Return the first objective of the largest group of equal trials, and their number."""
    values = np.sort([trial.values[0] for trial in trials])
    ends = np.searchsorted(values, values + _RELATIVE * np.abs(values) + _ABSOLUTE, side="right")
    counts = ends - np.arange(len(values))
    first = int(counts.argmax())
    return float(values[first]), int(counts[first])


def _kept_start(trial: FrozenTrial) -> bool:
    result = json.loads(trial.user_attrs.get(attempt.RESULT, "{}"))
    return bool(result.get("best_epoch") == 0)
