"""Confirmation: the best trial and the runner-up train again on new seeds; the better mean wins.

The best of many trials was also lucky, so its own value cannot tell how good it is.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from thaw.search import attempt
from thaw.search.storage import exclusive_lock
from thaw.search.study import CONFIRMATION_SUFFIX, ranked_trials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    from thaw.search.dimension import Dimension
    from thaw.search.study_definition import StudyDefinition

_SEEDS = 2**31  # of the parameter seed
_MAX_FAILURES = 3  # of one trial at one seed, over all runs of the command


@dataclass(frozen=True)
class Candidate:
    """A trial and its values on the new seeds: plus or minus infinity if training diverged."""

    trial: FrozenTrial
    values: list[float]

    @property
    def mean(self) -> float:
        """The mean over the seeds; NaN if there is none yet."""
        return float(np.mean(self.values)) if self.values else float("nan")

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds; 0 for a single seed or if training diverged."""
        has_spread = len(self.values) > 1 and math.isfinite(self.mean)
        return float(np.std(self.values, ddof=1)) if has_spread else 0.0


def finalists(study: optuna.Study, dimensions: Sequence[Dimension]) -> list[FrozenTrial]:
    """Return the best trial and the best one with other values, the runner-up."""
    ranked = ranked_trials(study)
    best_values = attempt.values_of(ranked[0], dimensions) if ranked else {}
    others = [trial for trial in ranked[1:] if attempt.values_of(trial, dimensions) != best_values]
    return [*ranked[:1], *others[:1]]


def open_confirmation(
    study: optuna.Study, definition: StudyDefinition, storage: RDBStorage
) -> optuna.Study:
    """Return the study that trains the finalists again, with a trial for each and each new seed."""
    with exclusive_lock(storage):
        confirmation = optuna.create_study(
            storage=storage,
            study_name=study.study_name + CONFIRMATION_SUFFIX,
            directions=definition.directions,
            load_if_exists=True,
            pruner=optuna.pruners.NopPruner(),
        )
        settled = _settled_runs(confirmation)
        for seed in _new_seeds(definition):
            for trial in finalists(study, definition.dimensions):
                if (trial.number, seed) not in settled:
                    _enqueue(confirmation, trial, seed, definition.dimensions)
    return confirmation


def candidates(
    study: optuna.Study, definition: StudyDefinition, storage: RDBStorage
) -> list[Candidate]:
    """Return the finalists with their values on the new seeds, the winner first.

    Until all seeds have run (:func:`is_confirmed`), the order is that of the study.
    """
    return _candidates(study, definition, _opened_again(study, storage))


def _candidates(
    study: optuna.Study, definition: StudyDefinition, again: optuna.Study | None
) -> list[Candidate]:
    """Return the finalists with their values in the study ``again``, the winner first."""
    sign = 1 if definition.directions[0] == StudyDirection.MINIMIZE else -1
    values = _confirmed_values(again, diverged=sign * math.inf)
    seeds = _new_seeds(definition)
    found = [
        Candidate(
            trial,
            [values[trial.number, seed] for seed in seeds if (trial.number, seed) in values],
        )
        for trial in finalists(study, definition.dimensions)
    ]
    if is_confirmed(found, definition):
        found.sort(key=lambda candidate: sign * candidate.mean)
    return found


def is_confirmed(found: Sequence[Candidate], definition: StudyDefinition) -> bool:
    """Return whether all candidates have a value on each new seed."""
    seeds = len(_new_seeds(definition))
    return bool(found) and seeds > 0 and all(len(each.values) == seeds for each in found)


def trainings(
    study: optuna.Study, definition: StudyDefinition, storage: RDBStorage
) -> tuple[list[FrozenTrial], int] | None:
    """Return the latest training of each finalist on each new seed, and how many there will be.

    None before the confirmation begins.
    """
    again = _opened_again(study, storage)
    if again is None:
        return None
    seeds = _new_seeds(definition)
    found = finalists(study, definition.dimensions)
    wanted = {(trial.number, seed) for trial in found for seed in seeds}
    by_run = {_run_of(trial): trial for trial in again.get_trials(deepcopy=False)}
    return [by_run[run] for run in sorted(wanted & by_run.keys())], len(wanted)


def _new_seeds(definition: StudyDefinition) -> list[int]:
    """Return ``search.confirm_seeds`` seeds other than the one that chose the trials."""
    params = definition.params
    numbers = range(1, params.search.confirm_seeds + 1)
    return [(params.seed + number) % _SEEDS for number in numbers]


def _enqueue(
    confirmation: optuna.Study, trial: FrozenTrial, seed: int, dimensions: Sequence[Dimension]
) -> None:
    values = {**attempt.values_of(trial, dimensions), "seed": seed}
    attributes = {
        attempt.NAME: "confirm",
        attempt.CONFIRMED_TRIAL: trial.number,
        attempt.FIXED_VALUES: json.dumps(values),
    }
    waiting = optuna.create_trial(state=TrialState.WAITING, user_attrs=attributes)
    confirmation.add_trial(waiting)


def _settled_runs(confirmation: optuna.Study) -> set[tuple[int, int]]:
    """Return the (trial, seed) pairs that need no new trial.

    They have ended, are running or waiting, or have failed too often.
    """
    trials = confirmation.get_trials(deepcopy=False)
    active = {_run_of(trial) for trial in trials if trial.state != TrialState.FAIL}
    failed = {
        (_run_of(trial), attempt.first_attempt(trial))
        for trial in trials
        if trial.state == TrialState.FAIL
    }
    failures = Counter(run for run, _ in failed)
    return active | {run for run, count in failures.items() if count >= _MAX_FAILURES}


def _opened_again(study: optuna.Study, storage: RDBStorage) -> optuna.Study | None:
    """Return the study that trains the finalists of ``study`` again; None before it begins.

    It is asked for by its name: a look must not take longer because a storage has other studies.
    """
    try:
        return optuna.load_study(study_name=study.study_name + CONFIRMATION_SUFFIX, storage=storage)
    except KeyError:
        return None


def _confirmed_values(again: optuna.Study | None, diverged: float) -> dict[tuple[int, int], float]:
    """Return the objective by (trial, seed); ``diverged`` where training diverged."""
    if again is None:
        return {}
    # This study prunes no trial for a poor loss: a pruned one has diverged.
    ended = again.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return {
        _run_of(trial): trial.values[0] if trial.state == TrialState.COMPLETE else diverged
        for trial in ended
    }


def _run_of(trial: FrozenTrial) -> tuple[int, int]:
    """Return the number of the trial that is trained again, and the seed."""
    values: dict[str, Any] = json.loads(trial.user_attrs[attempt.FIXED_VALUES])
    return int(trial.user_attrs[attempt.CONFIRMED_TRIAL]), int(values["seed"])
