"""The best trial is called the winner only after it has beaten the runner-up on new seeds.

The best of many trials was lucky as well: its own value is not what it is judged by.
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

from thaw.search import storage as storages
from thaw.search.study import CONFIRM, ranked, root, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

    from thaw.search.search_space import Dimension
    from thaw.search.study_definition import Question


_ATTEMPTS = 3  # at a seed whose trial failed: its worker was killed twice, say


@dataclass(frozen=True)
class Contender:
    """A trial and what it came to on the new seeds; where it diverged, the worst there is."""

    trial: FrozenTrial
    values: list[float]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.values)) if self.values else float("nan")

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds; 0 of a single one, or where it diverged."""
        has_one = len(self.values) > 1 and math.isfinite(self.mean)
        return float(np.std(self.values, ddof=1)) if has_one else 0.0


def pair(study: optuna.Study, dimensions: Sequence[Dimension]) -> list[FrozenTrial]:
    """The best trial, and the best one of other values: the runner-up."""
    best = ranked(study)
    others = [
        trial
        for trial in best[1:]
        if values_of(trial, dimensions) != values_of(best[0], dimensions)
    ]
    return [*best[:1], *others[:1]]


def open_confirm(study: optuna.Study, question: Question, storage: RDBStorage) -> optuna.Study:
    """The study that the contenders train again in; what is missing waits in it."""
    name = study.study_name + CONFIRM
    with storages.alone(storage):
        made = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=question.directions,
            load_if_exists=True,
            pruner=optuna.pruners.NopPruner(),
        )
        there = _settled(made)
        for seed in _seeds(question):
            for trial in pair(study, question.dimensions):
                if (trial.number, seed) in there:
                    continue
                values = {**values_of(trial, question.dimensions), "seed": seed}
                attributes = {"name": "confirm", "of": trial.number, "beside": json.dumps(values)}
                waiting = optuna.create_trial(state=TrialState.WAITING, user_attrs=attributes)
                made.add_trial(waiting)
    return made


def contenders(study: optuna.Study, question: Question, storage: RDBStorage) -> list[Contender]:
    """The best trial and the runner-up with what they came to, the winner first."""
    name = study.study_name + CONFIRM
    sign = 1 if question.directions[0] == StudyDirection.MINIMIZE else -1
    done: dict[tuple[int, int], float] = {}
    if name in optuna.get_all_study_names(storage):
        confirm = optuna.load_study(study_name=name, storage=storage)
        # Nothing is pruned here for being poor: what is pruned has diverged.
        ended = confirm.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        worst = sign * math.inf
        done = {
            _run(trial): trial.values[0] if trial.state == TrialState.COMPLETE else worst
            for trial in ended
        }
    found = [
        Contender(
            trial,
            [done[trial.number, seed] for seed in _seeds(question) if (trial.number, seed) in done],
        )
        for trial in pair(study, question.dimensions)
    ]
    if is_confirmed(found, question):
        found.sort(key=lambda contender: sign * contender.mean)
    return found


def is_confirmed(found: Sequence[Contender], question: Question) -> bool:
    """Whether all contenders have trained on all new seeds."""
    seeds = len(_seeds(question))
    return bool(found) and seeds > 0 and all(len(each.values) == seeds for each in found)


def _seeds(question: Question) -> list[int]:
    """Seeds that no trial was chosen by."""
    params = question.params
    return [params.seed + number for number in range(1, params.search.confirm_seeds + 1)]


def _settled(confirm: optuna.Study) -> set[tuple[int, int]]:
    """The runs that have ended or will end, and those that have failed too often."""
    trials = confirm.get_trials(deepcopy=False)
    alive = {_run(trial) for trial in trials if trial.state != TrialState.FAIL}
    failed = {(_run(trial), root(trial)) for trial in trials if trial.state == TrialState.FAIL}
    often = Counter(run for run, _ in failed)
    return alive | {run for run, count in often.items() if count >= _ATTEMPTS}


def _run(trial: FrozenTrial) -> tuple[int, int]:
    beside: dict[str, Any] = json.loads(trial.user_attrs["beside"])
    return int(trial.user_attrs["of"]), int(beside["seed"])
